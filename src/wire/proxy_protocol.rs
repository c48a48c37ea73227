//! PROXY protocol v1 and v2: reading what came before the data, writing what we send to a server.
