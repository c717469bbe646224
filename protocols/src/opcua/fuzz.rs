//! A door for `tests/fuzz`, in its builds only: documents as they come by the wire.

use opcua::types::{
    ContextOwned, DecodingOptions, NamespaceMap, Variant, encoding::BinaryDecodable as _,
};

use super::{bounds, codec, message::Up};

/// Reads arguments of a method, one after the other to the end or the first that is none, as each document that they
/// could be; those that they are, each of which is written and read again as the same.
pub fn documents(mut octets: &[u8]) -> Vec<Up> {
    let loaders = bounds::type_loaders();
    let context = ContextOwned::new(NamespaceMap::new(), loaders, DecodingOptions::default());
    let context = context.context();
    let next = || Variant::decode(&mut octets, &context).ok();
    let arguments: Vec<Variant> = std::iter::from_fn(next).take(64).collect();
    let methods = ["SubmitBid", "SubmitClosing", "SubmitTotal"];
    let read = methods.map(|method| codec::document(method, &arguments));
    let documents: Vec<Up> = read.into_iter().flatten().flatten().collect();
    for document in &documents {
        let (method, written) = codec::call_of(document);
        assert_eq!(
            codec::document(method, &written),
            Some(Ok(document.clone()))
        );
        let _ = codec::answer_in(document, &arguments);
    }
    let _ = codec::held_in(&arguments);
    documents
}
