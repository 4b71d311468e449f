//! Several sidecars on one PostgreSQL.

use cvt_sidecar::config::storage::StorageSettings;

use super::store_fixture::{new_database, server};
use crate::support::documents::USERS;
use crate::support::{ScriptedUpstream, SidecarSetup};

/// A registration by one sidecar is in force in another that follows the schema.
#[test]
fn a_registration_by_one_sidecar_reaches_the_others() {
    let database = StorageSettings::Postgres(server().settings(&new_database())).to_string();
    let upstream = ScriptedUpstream::json("200 OK", r#"{"name":"Ada","age":36}"#);
    let url = format!("http://{}", upstream.address());
    let registering = |document: &str| {
        SidecarSetup::new(document, upstream.address())
            .args(&["--schema", "users", "--storage", &database])
            .start()
    };
    let first = registering(USERS);
    let follower = SidecarSetup::bare()
        .args(&["--upstream", &url, "--schema", "users", "--storage", &database])
        .start();
    let in_force = |version: &str| {
        follower.wait_for_metrics(version, |metrics| {
            let labels = [("schema_id", "users"), ("version", version)];
            metrics.sum("cvt_contract_info", &labels) >= 1.0
        })
    };
    in_force("2.1.0");
    let second = registering(&USERS.replace("2.1.0", "2.2.0"));
    in_force("2.2.0");
    drop((first, second));
}
