//! Devices on a serial line and all that the line may bring. After noise and a silence, a request is answered.

#![no_main]

use std::{sync::Arc, time::Duration};

use fuzz::{fuzz_target, modbus, steps};
use protocols::modbus::fuzz::serve_line;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

fuzz_target!(|input: &[u8]| {
    modbus::run(async {
        let (mut near, far) = tokio::io::duplex(1 << 20);
        let serving = serve_line(far, Arc::new(modbus::Device::new()));
        let master = async {
            for step in steps(input).take(100) {
                let octets = match step.kind % 4 {
                    3 => step.octets.to_vec(),
                    unit => modbus::rtu(unit, &step.octets[..step.octets.len().min(253)]),
                };
                near.write_all(&octets).await.expect("the pipe is wide");
                if step.kind & 0x40 != 0 {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
            let mut before = vec![0; 1 << 20];
            while let Ok(read) =
                tokio::time::timeout(Duration::from_millis(1), near.read(&mut before)).await
            {
                assert!(
                    read.expect("the pipe is open") > 0,
                    "the line is still served"
                );
            }
            near.write_all(&modbus::rtu(1, &[3, 0x9C, 0x40, 0, 2]))
                .await
                .expect("the pipe is wide");
            let mut answer = [0; 9];
            near.read_exact(&mut answer).await.expect("an answer");
            // `SunS`.
            assert_eq!(answer[..7], [1, 3, 4, 0x53, 0x75, 0x6E, 0x53]);
        };
        tokio::select! {
            ended = serving => panic!("the line is no longer served: {ended:?}"),
            () = master => {}
        }
    });
});
