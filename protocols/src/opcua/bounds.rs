//! What a message may make the library keep, where its own limits do not hold: bodies of extension objects are decoded
//! before anything is known of who sent them, in the header of the very first request.

use std::{io::Read, sync::Arc};

use opcua::types::{
    Context, DynEncodable, EncodingResult, Error, FallbackTypeLoader, GeneratedTypeLoader, NodeId,
    ObjectId, StatusCode, TypeLoader, TypeLoaderCollection, TypeLoaderPriority,
};

/// The library's, behind what refuses too much.
pub(super) fn type_loaders() -> TypeLoaderCollection {
    let mut loaders = TypeLoaderCollection::new_empty();
    loaders.add(Arc::new(Bounds));
    loaders.add(Arc::new(GeneratedTypeLoader));
    loaders.add(Arc::new(FallbackTypeLoader));
    loaders
}

/// Refuses bodies that would be given memory for what they say and not for what they hold. (async-opcua-types 0.19: an
/// `Argument` is filled up to its `ValueRank`, 8 GB at most; an unknown type to its length, 2 GB.)
struct Bounds;

impl TypeLoader for Bounds {
    fn load_from_binary(
        &self,
        id: &NodeId,
        _: &mut dyn Read,
        context: &Context<'_>,
        length: Option<usize>,
    ) -> Option<EncodingResult<Box<dyn DynEncodable>>> {
        let refused = |what: String| {
            let error = Error::new(StatusCode::BadEncodingLimitsExceeded, what);
            Some(Err(error))
        };
        let most = context.options().max_message_size;
        if length.is_some_and(|length| length > most) {
            return refused(format!(
                "a body of {length:?} octets in a message of {most} at most"
            ));
        }
        if *id == ObjectId::Argument_Encoding_DefaultBinary {
            return refused("nothing here takes an Argument".to_owned());
        }
        None
    }

    fn priority(&self) -> TypeLoaderPriority {
        TypeLoaderPriority::Core
    }
}

#[cfg(test)]
mod tests {
    use opcua::types::{
        ContextOwned, DecodingOptions, NamespaceMap, Variant, encoding::BinaryDecodable as _,
    };

    use super::*;

    fn refused(octets: &[u8]) -> String {
        let context = ContextOwned::new(
            NamespaceMap::new(),
            type_loaders(),
            DecodingOptions::default(),
        );
        let read = Variant::decode(&mut &*octets, &context.context());
        read.unwrap_err().to_string()
    }

    /// Found by `cargo xtask test fuzz`: an `Argument` of rank 741,081,088, which took 2.9 GB and ten seconds.
    #[test]
    fn an_argument_is_not_filled_up() {
        let mut octets = vec![0x16, 1, 0, 0x2A, 1, 1, 40, 0, 0, 0];
        octets.extend([0; 6]);
        octets.extend(741_081_088_i32.to_le_bytes());
        octets.extend([0; 16]);
        let refused = refused(&octets);
        assert!(
            refused.contains("nothing here takes an Argument"),
            "{refused}"
        );
    }

    #[test]
    fn a_body_is_not_longer_than_its_message() {
        let unknown = [0x16, 1, 0, 0x10, 0x27, 1, 0xFF, 0xFF, 0xFF, 0x7F, 0];
        let refused = refused(&unknown);
        assert!(refused.contains("2147483647"), "{refused}");
    }
}
