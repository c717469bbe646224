//! asyncua with something wrong about it.

use std::fs;

use anyhow::Result;
use protocols::opcua::{Pki, message::Down, pki::Certificate, server::Audit};
use rcgen::{CertificateParams, KeyPair};
use serde_json::{Value as Json, json};
use time::{Duration, OffsetDateTime};

use crate::{
    ends::{BITS, Served, Site, award, serve, subject},
    tenant::{SECURE, ask, done, tenant},
};

/// Tries to connect as North; what asyncua says, and why the server says it did not.
async fn refused(
    site: &Site,
    area: &mut Served,
    own: &Pki,
    policy: &str,
    user: Json,
) -> Result<(Json, String)> {
    let mut peer = tenant(&area.endpoint(), own, &site.server, policy)?;
    let answer = ask(&mut peer, json!(["connect", user[0], user[1]])).await?;
    assert!(!answer["error"].is_null(), "{answer}");
    peer.stop().await?;
    let told = area
        .audited(|audit| matches!(audit, Audit::Refused { .. }))
        .await;
    let Audit::Refused { reason, .. } = told else {
        unreachable!();
    };
    Ok((answer, reason))
}

#[tokio::test(flavor = "multi_thread")]
async fn asyncua_is_refused_without_the_right_certificate_password_or_security() -> Result<()> {
    let site = Site::new(&["north"]);
    let mut area = serve(site.server_config("127.0.0.1:0")).await;
    let north = &site.tenants[0].0;
    let user = json!(["north-user", "north-word"]);

    let stranger = Pki::new(site.folder.path().join("stranger"));
    stranger.create(&subject("north"), BITS)?;
    let (_, why) = refused(&site, &mut area, &stranger, SECURE, user.clone()).await?;
    assert!(why.contains("not among the trusted"), "{why}");

    let expired = expired(&site, north)?;
    let (_, why) = refused(&site, &mut area, &expired, SECURE, user.clone()).await?;
    assert!(why.contains("not valid now"), "{why}");

    let wrong = json!(["north-user", "south-word"]);
    let (_, why) = refused(&site, &mut area, north, SECURE, wrong).await?;
    assert_eq!(why, "wrong user or password");

    let weaker = "Basic128Rsa15,SignAndEncrypt";
    let (_, why) = refused(&site, &mut area, north, weaker, user.clone()).await?;
    assert!(why.contains("security policy"), "{why}");

    // These get no further than to a session that is not opened; it is asyncua that says so.
    for (policy, user) in [
        (SECURE, json!([null, null])),
        ("Basic256Sha256,Sign", user.clone()),
        ("None", user.clone()),
        ("None", json!([null, null])),
    ] {
        let mut peer = tenant(&area.endpoint(), north, &site.server, policy)?;
        let answer = ask(&mut peer, json!(["connect", user[0], user[1]])).await?;
        assert!(!answer["error"].is_null(), "{policy} {user}: {answer}");
        peer.stop().await?;
    }

    // A user by certificate, its own or a stranger's, is none: users come with passwords.
    for of in [north, &stranger] {
        let file = |name: &str| of.folder.join("own").join(name).display().to_string();
        let (certificate, key) = (file("certificate.der"), file("key.pem"));
        let mut peer = tenant(&area.endpoint(), north, &site.server, SECURE)?;
        let answer = ask(&mut peer, json!(["connect", null, null, certificate, key])).await?;
        let error = answer["error"].as_str().unwrap_or_default();
        assert!(error.starts_with("BadIdentityToken"), "{answer}");
        peer.stop().await?;
    }

    // And with everything right it is served.
    let mut peer = tenant(&area.endpoint(), north, &site.server, SECURE)?;
    done(&mut peer, json!(["connect", "north-user", "north-word"])).await?;
    peer.stop().await?;
    area.stop.cancel();
    Ok(())
}

/// North's key in a certificate that ended yesterday and that the server trusts.
fn expired(site: &Site, north: &Pki) -> Result<Pki> {
    let expired = Pki::new(site.folder.path().join("expired"));
    fs::create_dir_all(expired.folder.join("own"))?;
    let key = fs::read_to_string(north.folder.join("own/key.pem"))?;
    let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()])?;
    let uri = "urn:busbar:test:north".try_into()?;
    params.subject_alt_names.insert(0, rcgen::SanType::URI(uri));
    let yesterday = OffsetDateTime::now_utc() - Duration::days(1);
    (params.not_before, params.not_after) = (yesterday - Duration::days(30), yesterday);
    let certificate = params.self_signed(&KeyPair::from_pem(&key)?)?;
    fs::write(expired.folder.join("own/key.pem"), key)?;
    fs::write(
        expired.folder.join("own/certificate.der"),
        certificate.der(),
    )?;
    site.server.trust(&Certificate::read(certificate.der())?)?;
    Ok(expired)
}

#[tokio::test(flavor = "multi_thread")]
async fn another_tenants_nodes_do_not_exist_for_asyncua() -> Result<()> {
    let site = Site::new(&["north", "south"]);
    let mut area = serve(site.server_config("127.0.0.1:0")).await;
    area.server.publish("south", &Down::Award(award(900, 1)));
    let mut north = tenant(&area.endpoint(), &site.tenants[0].0, &site.server, SECURE)?;
    done(&mut north, json!(["connect", "north-user", "north-word"])).await?;
    for command in [
        json!(["read", "south/Award/quantity"]),
        json!(["watch", "south/Held/publication"]),
        json!(["call", "south", "SubmitTotal", [900, 1, 0, 0, false]]),
        json!(["call", "south", "GetAward", [900]]),
    ] {
        let answer = ask(&mut north, command.clone()).await?;
        let error = answer["error"].as_str().unwrap_or_default();
        assert!(error == "BadNodeIdUnknown", "{command}: {answer}");
    }
    assert!(
        area.requests.try_recv().is_err(),
        "nothing has come to the market"
    );
    north.stop().await?;
    area.stop.cancel();
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn octets_that_are_sent_again_end_the_connection() -> Result<()> {
    let site = Site::new(&["north"]);
    let area = serve(site.server_config("127.0.0.1:0")).await;
    let mut north = tenant(&area.endpoint(), &site.tenants[0].0, &site.server, SECURE)?;
    done(&mut north, json!(["connect", "north-user", "north-word"])).await?;
    let answer = ask(&mut north, json!(["replay"])).await?;
    assert!(!answer["error"].is_null(), "{answer}");
    area.stop.cancel();
    Ok(())
}
