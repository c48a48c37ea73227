//! The rise/fall state machine of a checked server. Pure: results in, transitions out.
