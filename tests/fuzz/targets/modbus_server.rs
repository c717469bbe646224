//! A server of Modbus TCP and all that a client may send: requests in frames, frames that lie about their length,
//! noise, half a frame. Each answer belongs to a request and fits a frame.

#![no_main]

use std::sync::Arc;

use fuzz::{fuzz_target, modbus, steps};
use protocols::modbus::fuzz::serve_tcp;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

fuzz_target!(|input: &[u8]| {
    let (mut stream, mut requests) = (Vec::new(), 0);
    for step in steps(input).take(100) {
        if step.kind % 4 != 3 {
            stream.extend(modbus::tcp(
                requests,
                step.kind,
                &step.octets[..step.octets.len().min(253)],
            ));
            requests += 1;
        } else {
            stream.extend(step.octets);
        }
    }
    let answers = modbus::run(async {
        let (mut near, far) = tokio::io::duplex(1 << 20);
        let serving = serve_tcp(far, Arc::new(modbus::Device::new()));
        let client = async {
            near.write_all(&stream).await.expect("the pipe is wide");
            near.shutdown().await.expect("the pipe is open");
            let mut answers = Vec::new();
            near.read_to_end(&mut answers)
                .await
                .expect("the pipe is open");
            answers
        };
        tokio::join!(serving, client).1
    });
    // Steps of noise may make requests together; none is shorter than its header and a function.
    let most = stream.len() / 8;
    let (mut rest, mut count) = (&answers[..], 0);
    while let [_, _, 0, 0, high, low, _, ..] = rest {
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        assert!((3..=254).contains(&length));
        rest = &rest[6 + length..];
        count += 1;
    }
    assert!(
        rest.is_empty() && count <= most,
        "{count} answers, {} octets left",
        rest.len()
    );
});
