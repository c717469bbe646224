//! What a message may make the library keep, where its own limits do not hold: bodies of extension objects are decoded
//! before anything is known of who sent them, in the header of the very first request.

use std::{io::Read, sync::Arc};

use opcua::types::{
    Context, DynEncodable, EncodingResult, Error, FallbackTypeLoader, GeneratedTypeLoader, NodeId,
    ObjectId, StatusCode, TypeLoader, TypeLoaderCollection, TypeLoaderPriority,
};

/// The library's, behind what refuses too much: for a server, what requests have for a reason.
pub(super) fn type_loaders() -> TypeLoaderCollection {
    behind(&ASKED)
}

/// The same for a client: what answers have for a reason.
pub(super) fn type_loaders_of_client() -> TypeLoaderCollection {
    behind(&ANSWERED)
}

fn behind(taken: &'static [ObjectId]) -> TypeLoaderCollection {
    let mut loaders = TypeLoaderCollection::new_empty();
    loaders.add(Arc::new(Bounds(taken)));
    loaders.add(Arc::new(GeneratedTypeLoader));
    loaders.add(Arc::new(FallbackTypeLoader));
    loaders
}

/// Who logs in, and what of a value is subscribed to.
const ASKED: [ObjectId; 9] = [
    ObjectId::AnonymousIdentityToken_Encoding_DefaultBinary,
    ObjectId::UserNameIdentityToken_Encoding_DefaultBinary,
    ObjectId::X509IdentityToken_Encoding_DefaultBinary,
    ObjectId::DataChangeFilter_Encoding_DefaultBinary,
    ObjectId::EventFilter_Encoding_DefaultBinary,
    ObjectId::SimpleAttributeOperand_Encoding_DefaultBinary,
    ObjectId::AttributeOperand_Encoding_DefaultBinary,
    ObjectId::LiteralOperand_Encoding_DefaultBinary,
    ObjectId::ElementOperand_Encoding_DefaultBinary,
];

/// What a subscription says.
const ANSWERED: [ObjectId; 2] = [
    ObjectId::DataChangeNotification_Encoding_DefaultBinary,
    ObjectId::StatusChangeNotification_Encoding_DefaultBinary,
];

/// Refuses all other bodies. (async-opcua-types 0.19 fills an `Argument`, and each of those in a
/// `ProgramDiagnosticDataType`, up to the `ValueRank` that it claims, 8 GB at most, and gives an unknown type the memory
/// that it claims, 2 GB at most. An XML body is given that too, before anybody is asked; it is not touched then.)
struct Bounds(&'static [ObjectId]);

impl TypeLoader for Bounds {
    fn load_from_binary(
        &self,
        id: &NodeId,
        _: &mut dyn Read,
        _: &Context<'_>,
        _: Option<usize>,
    ) -> Option<EncodingResult<Box<dyn DynEncodable>>> {
        let refused = || {
            let what = format!("nothing here takes a body of type {id}");
            Err(Error::new(StatusCode::BadEncodingLimitsExceeded, what))
        };
        (!self.0.iter().any(|taken| id == taken)).then(refused)
    }

    fn priority(&self) -> TypeLoaderPriority {
        TypeLoaderPriority::Core
    }
}

#[cfg(test)]
mod tests {
    use opcua::types::{
        AnonymousIdentityToken, ContextOwned, DecodingOptions, ExtensionObject, NamespaceMap,
        Variant,
        encoding::{BinaryDecodable as _, BinaryEncodable as _},
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
        assert!(refused.contains("a body of type i=298"), "{refused}");
    }

    #[test]
    fn a_body_of_an_unknown_type_is_given_nothing() {
        let unknown = [0x16, 1, 0, 0x10, 0x27, 1, 0xFF, 0xFF, 0xFF, 0x7F, 0];
        let refused = refused(&unknown);
        assert!(refused.contains("a body of type i=10000"), "{refused}");
    }

    #[test]
    fn who_logs_in_is_taken() {
        let anonymous = ExtensionObject::from_message(AnonymousIdentityToken {
            policy_id: "anonymous".into(),
        });
        let context = ContextOwned::new(
            NamespaceMap::new(),
            type_loaders(),
            DecodingOptions::default(),
        );
        let context = context.context();
        let octets = anonymous.encode_to_vec(&context);
        let read = ExtensionObject::decode(&mut &octets[..], &context).unwrap();
        assert_eq!(read, anonymous);
    }
}
