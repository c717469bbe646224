//! TLS (IEC 62351-3) against libiec61850's server, which is mbedTLS: with the right certificates, and with one that
//! its authority has not signed.

#[path = "../../../protocols/tests/common/certificates.rs"]
mod certificates;

use anyhow::{Result, anyhow, ensure};
use certificates::Fixture;
use protocols::point::Value;
use serde_json::json;

use super::{ask, ied::Ours, libiec61850};

#[tokio::test]
async fn libiec61850_is_reached_with_a_certificate_of_its_authority_only() -> Result<()> {
    let f = Fixture::new().map_err(|error| anyhow!(error))?;
    let theirs = f.end("ied").map_err(|error| anyhow!(error))?;
    let files = [&theirs.certificate, &theirs.key, &theirs.authorities];
    let [certificate, key, authority] = files.map(|file| file.display().to_string());
    let (mut peer, port) = libiec61850(&["0", &certificate, &key, &authority]).await?;
    ask(
        &mut peer,
        json!([
            "set",
            "GGIO1.Ind1.stVal",
            "boolean",
            true,
            1_700_000_000_123_i64
        ]),
    )
    .await?;

    let right = f.end("busbar").map_err(|error| anyhow!(error))?;
    let mut ours = Ours::start(port, Some(right.client("127.0.0.1")?))?;
    ours.online().await?;
    ours.until("ind", Value::Binary(true)).await?;
    drop(ours);

    let stranger = f.stranger("stranger").map_err(|error| anyhow!(error))?;
    let mut wrong = Ours::start(port, Some(stranger.client("127.0.0.1")?))?;
    let why = wrong.offline().await?;
    println!("a stranger: {why}");
    drop(wrong);
    // The other way about: whose certificate is for another name, and no TLS at all.
    let mut wrong = Ours::start(port, Some(right.client("ied.example")?))?;
    let why = wrong.offline().await?;
    ensure!(why.contains("certificate"), "{why}");
    drop(wrong);
    let mut plain = Ours::start(port, None)?;
    println!("without TLS: {}", plain.offline().await?);
    drop(plain);

    let mut ours = Ours::start(port, Some(right.client("127.0.0.1")?))?;
    ours.online().await?;
    peer.stop().await
}
