//! Forwarding headers: what the service learns about its callers.

use std::net::IpAddr;

use ipnet::IpNet;

use super::{Problems, Setting, Values, parse};

/// Names of this section's settings.
pub const SETTINGS: &[Setting] = &[
    Setting::new("forwarded.headers", &["CVT_FORWARDED_HEADERS"]).per_route(),
    Setting::new("forwarded.trust", &["CVT_FORWARDED_TRUST"]).per_route(),
];

/// Which header fields carry it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ForwardedFields {
    /// None, and what callers send of them passes as it is.
    Untouched,
    /// `X-Forwarded-For`, `X-Forwarded-Host` and `X-Forwarded-Proto`.
    XForwarded,
    /// `Forwarded` (RFC 7239).
    Forwarded,
    /// All four.
    Both,
}

/// Forwarding headers: what the service learns about its callers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForwardedSettings {
    /// In which fields.
    pub fields: ForwardedFields,
    /// Networks of proxies in front: what they say is kept and added to; what anybody else says
    /// is replaced.
    pub trust: Vec<IpNet>,
}

// === impl ForwardedSettings ===

impl ForwardedSettings {
    /// Whether what a caller at `address` says is kept.
    pub fn trusts(&self, address: IpAddr) -> bool {
        self.trust.iter().any(|network| network.contains(&address))
    }
}

/// Reads and checks this section.
pub fn read(values: &Values, problems: &mut Problems) -> ForwardedSettings {
    let fields = [
        ("none", ForwardedFields::Untouched),
        ("x_forwarded", ForwardedFields::XForwarded),
        ("forwarded", ForwardedFields::Forwarded),
        ("both", ForwardedFields::Both),
    ];
    let untouched = ForwardedFields::Untouched;
    ForwardedSettings {
        fields: values.read("forwarded.headers", untouched, problems, parse::choice(&fields)),
        trust: values.read("forwarded.trust", Vec::new(), problems, networks),
    }
}

fn networks(text: &str) -> Result<Vec<IpNet>, String> {
    let network = |text: &String| {
        let address = || text.parse::<IpAddr>().ok().map(IpNet::from);
        text.parse().ok().or_else(address).ok_or_else(|| {
            format!("expected networks such as 10.0.0.0/8 or fd00::/8, found `{text}`")
        })
    };
    parse::list(text)?.iter().map(network).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trusted_networks_and_addresses_are_parsed() {
        let settings = ForwardedSettings {
            fields: ForwardedFields::Both,
            trust: networks("10.0.0.0/8, fd00::/8, 192.0.2.1").unwrap(),
        };
        for (address, expected) in
            [("10.9.9.9", true), ("11.0.0.1", false), ("fd12::1", true), ("192.0.2.1", true)]
        {
            assert_eq!(settings.trusts(address.parse().unwrap()), expected, "{address}");
        }
        for bad in ["10.0.0.0/33", "localhost", "10.0.0.0/8,,::1"] {
            assert!(networks(bad).is_err(), "{bad}");
        }
    }
}
