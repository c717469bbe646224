//! Frames of DNP3 with the checks that the other end wants to see; written from IEEE 1815-2012, clauses 8 and 9,
//! beside the code that is being tried.

/// The check of a block, low octet first: 0x3D65 reflected, complemented.
fn check(block: &[u8]) -> [u8; 2] {
    let mut sum = 0_u16;
    for octet in block {
        sum ^= u16::from(*octet);
        for _ in 0..8 {
            sum = (sum >> 1) ^ if sum & 1 == 1 { 0xA6BC } else { 0 };
        }
    }
    (!sum).to_le_bytes()
}

/// A frame of at most 250 octets of user data.
pub fn frame(control: u8, destination: u16, source: u16, data: &[u8]) -> Vec<u8> {
    let data = &data[..data.len().min(250)];
    let mut frame = vec![0x05, 0x64, 5 + data.len() as u8, control];
    frame.extend(destination.to_le_bytes());
    frame.extend(source.to_le_bytes());
    frame.extend(check(&frame));
    for block in data.chunks(16) {
        frame.extend(block);
        frame.extend(check(block));
    }
    frame
}

/// A fragment in unconfirmed frames.
pub fn fragment(
    control: u8,
    destination: u16,
    source: u16,
    octets: &[u8],
    sequence: &mut u8,
) -> Vec<u8> {
    let chunks = octets.chunks(249);
    let last = chunks.len().saturating_sub(1);
    let mut frames = Vec::new();
    for (number, chunk) in chunks.enumerate() {
        let ends = u8::from(number == 0) << 6 | u8::from(number == last) << 7;
        let segment = [&[ends | *sequence & 0x3F], chunk].concat();
        *sequence = sequence.wrapping_add(1);
        frames.extend(frame(control, destination, source, &segment));
    }
    frames
}

/// User data of the frames in what a session sends, which is whole frames with right checks.
pub fn data(octets: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut rest = octets;
    let mut frames = Vec::new();
    while !rest.is_empty() {
        assert!(
            rest.len() >= 10 && rest[..2] == [0x05, 0x64],
            "a frame begins with 05 64"
        );
        let count = usize::from(rest[2]) - 5;
        assert_eq!(check(&rest[..8]), rest[8..10]);
        let (control, mut left) = (rest[3], count);
        rest = &rest[10..];
        let mut user = Vec::new();
        while left > 0 {
            let block = left.min(16);
            assert_eq!(check(&rest[..block]), rest[block..block + 2]);
            user.extend(&rest[..block]);
            rest = &rest[block + 2..];
            left -= block;
        }
        frames.push((control, user));
    }
    frames
}
