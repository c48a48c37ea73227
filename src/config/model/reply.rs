//! What is answered without a server: error pages, `return`, `deny`.

use crate::expr::LogFormat;
use std::sync::Arc;

/// The answer for one error status, from `errorfile`, `errorloc*`, `http-error` or the built-in page.
#[derive(Clone, Debug)]
pub enum ErrorReply {
    /// A raw HTTP response as read from the file (head and body), sent as it is.
    Raw(Arc<[u8]>),
    /// `errorloc302|303`: status and location.
    Redirect(u16, Arc<str>),
    Reply(Arc<Reply>),
}

/// `http-errors NAME` section.
#[derive(Debug, Default)]
pub struct HttpErrors {
    pub name: Arc<str>,
    pub replies: Vec<(u16, ErrorReply)>,
}

/// `http-request return|deny ...` arguments.
#[derive(Debug, Default)]
pub struct Reply {
    pub status: u16,
    pub content_type: Option<String>,
    pub headers: Vec<(String, LogFormat)>,
    pub body: ReplyBody,
}

#[derive(Debug, Default)]
pub enum ReplyBody {
    /// `default-errorfiles`, or nothing said: the proxy's error page for the status (deny), or no body (return).
    #[default]
    Default,
    /// `errorfiles NAME` / `errorfile FILE`: a whole raw response.
    Raw(Arc<[u8]>),
    /// `file` / `string`
    Bytes(Arc<[u8]>),
    /// `lf-file` / `lf-string`
    Format(LogFormat),
}
