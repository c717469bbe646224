//! The cyclic redundancy check of a data link frame (IEEE 1815-2012 clause 9): polynomial
//! x¹⁶+x¹³+x¹²+x¹¹+x¹⁰+x⁸+x⁶+x⁵+x²+1, reflected, start 0, complemented, sent low octet first.

/// The polynomial 0x3D65, bits reversed.
const POLYNOMIAL: u16 = 0xA6BC;

const TABLE: [u16; 256] = {
    let mut table = [0; 256];
    let mut octet = 0;
    while octet < 256 {
        let mut crc = octet as u16;
        let mut bit = 0;
        while bit < 8 {
            crc = (crc >> 1) ^ if crc & 1 == 1 { POLYNOMIAL } else { 0 };
            bit += 1;
        }
        table[octet] = crc;
        octet += 1;
    }
    table
};

/// The check of `bytes`, in the order in which it is sent.
pub(super) fn crc(bytes: &[u8]) -> [u8; 2] {
    let step = |crc: u16, &byte: &u8| (crc >> 8) ^ TABLE[usize::from(crc as u8 ^ byte)];
    (!bytes.iter().fold(0, step)).to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::crc;

    #[test]
    fn is_the_published_check() {
        // CRC-16/DNP in the catalogue of parametrised CRC algorithms (reveng).
        assert_eq!(crc(b"123456789"), 0xEA82_u16.to_le_bytes());
        assert_eq!(crc(b"123456789"), bitwise(b"123456789"));
        assert_eq!(crc(&[]), bitwise(&[]));
    }

    /// Bit by bit from the unreflected polynomial, as the standard's text defines it.
    fn bitwise(bytes: &[u8]) -> [u8; 2] {
        let mut crc = 0_u16;
        for byte in bytes {
            for bit in 0..8 {
                let feedback = (crc >> 15) ^ u16::from(byte >> bit & 1) == 1;
                crc = (crc << 1) ^ if feedback { 0x3D65 } else { 0 };
            }
        }
        (!crc.reverse_bits()).to_le_bytes()
    }
}
