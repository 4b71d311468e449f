//! The admin port.

use std::net::{Ipv4Addr, SocketAddr};

use super::{Problems, Setting, Values, parse};

/// Names of this section's settings.
pub const SETTINGS: &[Setting] = &[
    Setting::new("admin.listen", &["CVT_ADMIN_LISTEN"]),
    Setting::new("admin.port", &["CVT_METRICS_PORT"]),
];

/// Where metrics and health are served.
#[derive(Debug, Clone)]
pub struct AdminSettings {
    /// Address and port; loopback unless an address is given.
    pub listen: SocketAddr,
}

/// Reads and checks this section.
pub fn read(values: &Values, problems: &mut Problems) -> AdminSettings {
    let port = values.read("admin.port", 9551, problems, parse::integer(0..=65_535));
    let port = u16::try_from(port).unwrap_or(9551);
    let default = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    AdminSettings { listen: values.read("admin.listen", default, problems, parse::listen_address) }
}
