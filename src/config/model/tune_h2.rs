//! `tune.h2.*`: what HTTP/2 connections may cost, on either side.

/// See the manual's lines for each.
#[derive(Clone, Copy, Debug)]
pub struct TuneH2 {
    pub header_table_size: u32,
    pub max_frame_size: u32,
    pub max_concurrent_streams: u32,
    pub fe_max_concurrent_streams: u32,
    pub initial_window_size: u32,
    pub fe_initial_window_size: u32,
    pub be_max_concurrent_streams: u32,
    pub be_initial_window_size: u32,
    /// 0: no limit.
    pub fe_max_total_streams: u64,
    /// 0: none.
    pub fe_glitches_threshold: u32,
    pub be_glitches_threshold: u32,
}

impl Default for TuneH2 {
    fn default() -> Self {
        Self {
            header_table_size: 4096,
            max_frame_size: 16384,
            max_concurrent_streams: 100,
            fe_max_concurrent_streams: 0,
            initial_window_size: 65536,
            fe_initial_window_size: 0,
            be_max_concurrent_streams: 0,
            be_initial_window_size: 0,
            fe_max_total_streams: 0,
            fe_glitches_threshold: 0,
            be_glitches_threshold: 0,
        }
    }
}

impl TuneH2 {
    /// Streams a client may have open at once.
    #[must_use]
    pub fn streams(&self) -> u32 {
        either(self.fe_max_concurrent_streams, self.max_concurrent_streams)
    }

    /// What a client may send on one stream before it is told that we took it.
    #[must_use]
    pub fn window(&self) -> u32 {
        either(self.fe_initial_window_size, self.initial_window_size).min(WINDOW_MOST)
    }

    /// The same on all streams together: one that is not read must not hold up the others.
    #[must_use]
    pub fn connection_window(&self) -> u32 {
        of_connection(self.window(), self.streams())
    }

    /// Streams we open at once on one connection to a server, if it allows as many.
    #[must_use]
    pub fn server_streams(&self) -> u32 {
        either(self.be_max_concurrent_streams, self.max_concurrent_streams)
    }

    /// As [`TuneH2::window`] and [`TuneH2::connection_window`], of servers.
    #[must_use]
    pub fn server_windows(&self) -> (u32, u32) {
        let window = either(self.be_initial_window_size, self.initial_window_size).min(WINDOW_MOST);
        (window, of_connection(window, self.server_streams()))
    }
}

/// RFC 9113 6.9.1
const WINDOW_MOST: u32 = (1 << 31) - 1;

fn of_connection(window: u32, streams: u32) -> u32 {
    window.saturating_mul(streams.clamp(1, 16)).clamp(65535, WINDOW_MOST)
}

fn either(own: u32, common: u32) -> u32 {
    if own > 0 { own } else { common }
}
