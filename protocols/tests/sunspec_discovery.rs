//! Discovery by the SunSpec device task: chains as they are and as they cannot be.

mod common;

use std::sync::{Arc, Mutex};

use common::{Running, quick, serve};
use protocols::{
    device::DeviceEvent,
    modbus::{
        Link,
        server::{ExceptionCode, Registers, Table},
        sunspec::{Image, device},
    },
    point::Quality,
};

fn start(link: Link) -> Running {
    Running::start("pv3", |ports| {
        device::run(device::SunspecConfig { link }, ports)
    })
}

#[tokio::test]
async fn a_device_without_sunspec_is_offline_with_the_reason() {
    let image = Arc::new(Mutex::new(Image::new(10_000, &[1]).unwrap()));
    let server = serve(&image).await;
    let mut pv = start(quick(server.address()));
    assert!(pv.until_offline().await.contains("SunS"));
}

/// Holding registers from 40000 on, whatever they mean.
struct Raw(Vec<u16>);

impl Registers for Raw {
    fn read(&self, _: Table, address: u16, count: u16) -> Result<Vec<u16>, ExceptionCode> {
        let start = address.checked_sub(40_000).map(usize::from);
        start
            .and_then(|start| self.0.get(start..start + usize::from(count)))
            .map(<[u16]>::to_vec)
            .ok_or(ExceptionCode::IllegalDataAddress)
    }

    fn write(&self, _: Table, _: u16, _: &[u16]) -> Result<(), ExceptionCode> {
        Err(ExceptionCode::IllegalFunction)
    }
}

fn raw(models: &[&[u16]]) -> Arc<Raw> {
    let mut registers = vec![0x5375, 0x6E53];
    registers.extend(models.iter().copied().flatten());
    Arc::new(Raw(registers))
}

#[tokio::test]
async fn chains_that_cannot_be_are_not_followed() {
    let endless: Vec<&[u16]> = vec![&[99, 0]; 100];
    for (models, reason) in [
        (raw(&[&[103, 0xFFFF]]), "past 65535"),
        (raw(&endless), "more than 64"),
    ] {
        let server = serve(&models).await;
        let mut pv = start(quick(server.address()));
        let why = pv.until_offline().await;
        assert!(why.contains(reason), "{why}");
    }
}

#[tokio::test]
async fn a_model_too_short_is_left_out_and_the_end_model_is_not_needed() {
    // 103 with 3 registers of its 50, then 713, SoC 45.5 %, and nothing behind it.
    let short: &[u16] = &[103, 3, 1, 2, 3];
    let storage: &[u16] = &[713, 7, 0xFFFF, 0xFFFF, 455, 0xFFFF, 0xFFFF, 0x8000, 0xFFFF];
    let server = serve(&raw(&[short, storage])).await;
    let mut battery = start(quick(server.address()));
    let description = battery
        .until(|event| match event {
            DeviceEvent::Described(description) => Some(description),
            _ => None,
        })
        .await;
    assert_eq!(description.models, [103, 713]);
    battery.poll().await;
    assert!((battery.analog("soc") - 0.455).abs() < 1e-12);
    assert_eq!(battery.quality("p"), Quality::INVALID);
}
