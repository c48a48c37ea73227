//! Every scheduling algorithm, one file each, shared by L4 and L7. Pure: plain values in, an index out.
