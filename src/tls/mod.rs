//! TLS as values: certificates and the store that holds them, which of them a client gets, what a `bind` line says.
//!
//! Files are read while the configuration is; nothing here waits, holds a socket or asks the clock. `net` runs the
//! handshakes, `config` fills the values, `expr` reads what a handshake said.
//!
//! ```text
//! Store -- name --> Slot -- current --> Certificate          one per file name, replaced whole
//! Door (a bind line) -- lines --> Slot                       which names it shows, with which settings
//!                    -- Table --> Instance (rustls config)   rebuilt when a slot changes, swapped whole
//! ```

pub mod certificate;
pub mod changes;
pub mod ciphers;
pub mod der;
pub mod door;
pub mod early;
pub mod handshake;
pub mod names;
pub mod ocsp;
pub mod settings;
pub mod sigalgs;
pub mod signature;
pub mod sni;
pub mod store;
pub mod tickets;
pub mod trust;
pub mod updates;
pub mod verify;
pub mod x509;

pub use certificate::{Certificate, Parts};
pub use door::{Door, Line, Listing};
pub use handshake::{Agreed, Handshake, ServerHandshake};
pub use settings::{Settings, Version};
pub use store::{Slot, Store, lookups};
pub use trust::{ServerTrust, TrustFile};

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use std::sync::{Arc, LazyLock};

/// Everything the library can do; what a line allows is cut out of it.
pub static PROVIDER: LazyLock<Arc<CryptoProvider>> = LazyLock::new(|| {
    Arc::new(CryptoProvider {
        kx_groups: ciphers::groups(ciphers::DEFAULT_CURVES).0,
        cipher_suites: ciphers::default_suites(),
        ..aws_lc_rs::default_provider()
    })
});
