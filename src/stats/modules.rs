//! Counters of protocols: the columns of `show stat` behind the `-`, by HAProxy's names.

use super::columns::{Column, column};
use super::value::Value;

/// Counters of HTTP/2, and what there is now.
macro_rules! h2 {
    ($f:ident) => {
        |s| s.h2().map(|(so_far, _)| Value::U64(so_far.$f))
    };
    (now $f:ident) => {
        |s| s.h2().map(|(_, now)| Value::U64(now.$f))
    };
}

/// Counters of protocols.
pub static MODULES: &[Column] = &[
    column("h2_headers_rcvd", "MCP", "FB", h2!(headers), "HEADERS frames received"),
    column("h2_data_rcvd", "MCP", "FB", h2!(data), "DATA frames received"),
    column("h2_settings_rcvd", "MCP", "FB", h2!(settings), "SETTINGS frames received"),
    column("h2_rst_stream_rcvd", "MCP", "FB", h2!(resets), "RST_STREAM frames received"),
    column("h2_goaway_rcvd", "MCP", "FB", h2!(goaways), "GOAWAY frames received"),
    column(
        "h2_detected_conn_protocol_errors",
        "MCP",
        "FB",
        h2!(connection_errors),
        "Connections ended because the other side broke the protocol",
    ),
    column(
        "h2_detected_strm_protocol_errors",
        "MCP",
        "FB",
        h2!(stream_errors),
        "Streams ended because the other side broke the protocol",
    ),
    column("h2_rst_stream_resp", "MCP", "FB", h2!(resets_sent), "RST_STREAM frames sent for errors"),
    column("h2_goaway_resp", "MCP", "FB", h2!(goaways_sent), "GOAWAY frames sent for errors"),
    column("h2_open_connections", "MGP", "FB", h2!(now connections), "HTTP/2 connections now"),
    column("h2_backend_open_streams", "MGP", "FB", h2!(now streams), "HTTP/2 streams now"),
    column("h2_total_connections", "MCP", "FB", h2!(connections), "HTTP/2 connections so far"),
    column("h2_backend_total_streams", "MCP", "FB", h2!(streams), "HTTP/2 streams so far"),
];
