//! A tenant's part of the address space, built from the [`model`](super::super::model).

use opcua::{
    nodes::{AccessLevel, MethodBuilder, ObjectBuilder, VariableBuilder},
    server::address_space::AddressSpace,
    types::{
        Argument, DataTypeId, LocalizedText, NodeId, ObjectId, ObjectTypeId, QualifiedName,
        UAString, Variant,
    },
};

use super::super::{
    codec,
    model::{self, Field, Kind},
};

/// The indices of the two namespaces.
#[derive(Clone, Copy, Debug)]
pub(super) struct Namespaces {
    pub(super) folder: u16,
    pub(super) tenant: u16,
}

impl Namespaces {
    /// The folder that the tenants' objects are in.
    pub(super) fn folder_id(self) -> NodeId {
        NodeId::new(self.folder, model::FOLDER)
    }

    /// Of a node below a tenant.
    pub(super) fn id(self, parts: &[&str]) -> NodeId {
        NodeId::new(self.tenant, model::path(parts))
    }

    fn name(self, name: &str) -> QualifiedName {
        QualifiedName::new(self.tenant, name)
    }
}

/// The folder itself, which everybody sees.
pub(super) fn build_folder(space: &mut AddressSpace, namespaces: Namespaces) {
    let name = QualifiedName::new(namespaces.folder, model::FOLDER);
    ObjectBuilder::new(&namespaces.folder_id(), name, model::FOLDER)
        .is_folder()
        .organized_by(ObjectId::ObjectsFolder)
        .insert(space);
}

/// What one tenant has.
pub(super) fn build_tenant(space: &mut AddressSpace, at: Namespaces, tenant: &str) {
    let root = at.id(&[tenant]);
    ObjectBuilder::new(&root, at.name(tenant), tenant)
        .has_type_definition(ObjectTypeId::BaseObjectType)
        .organized_by(at.folder_id())
        .insert(space);
    for object in model::OBJECTS {
        let id = at.id(&[tenant, object.name]);
        ObjectBuilder::new(&id, at.name(object.name), object.name)
            .description(text(object.text))
            .has_type_definition(ObjectTypeId::BaseObjectType)
            .component_of(root.clone())
            .insert(space);
        for field in object.variables {
            let variable = at.id(&[tenant, object.name, field.name]);
            VariableBuilder::new(&variable, at.name(field.name), field.name)
                .description(text(field.text))
                .data_type(data_type(field.kind))
                .value_rank(rank(field))
                .value(initial(field))
                .access_level(AccessLevel::CURRENT_READ)
                .user_access_level(AccessLevel::CURRENT_READ)
                .has_type_definition(opcua::types::VariableTypeId::BaseDataVariableType)
                .component_of(id.clone())
                .insert(space);
        }
    }
    for method in model::METHODS {
        let id = at.id(&[tenant, method.name]);
        let inputs: Vec<Argument> = method.inputs.iter().map(argument).collect();
        let outputs: Vec<Argument> = method.outputs.iter().map(argument).collect();
        let mut node = MethodBuilder::new(&id, at.name(method.name), method.name)
            .description(text(method.text))
            .component_of(root.clone());
        let arguments = |which| at.id(&[tenant, method.name, which]);
        node = node.input_args(space, &arguments("InputArguments"), &inputs);
        if !outputs.is_empty() {
            node = node.output_args(space, &arguments("OutputArguments"), &outputs);
        }
        node.insert(space);
    }
}

fn text(text: &str) -> LocalizedText {
    LocalizedText::new("en", text)
}

fn argument(field: &Field) -> Argument {
    Argument {
        name: UAString::from(field.name),
        data_type: data_type(field.kind).into(),
        value_rank: rank(field),
        array_dimensions: field.array.then(|| vec![0]),
        description: text(field.text),
    }
}

fn rank(field: &Field) -> i32 {
    if field.array { 1 } else { -1 }
}

fn data_type(kind: Kind) -> DataTypeId {
    match kind {
        Kind::Boolean => DataTypeId::Boolean,
        Kind::UInt32 => DataTypeId::UInt32,
        Kind::Int64 => DataTypeId::Int64,
        Kind::Double => DataTypeId::Double,
        Kind::String => DataTypeId::String,
    }
}

fn initial(field: &Field) -> Variant {
    match (field.kind, field.array) {
        (Kind::Boolean, _) => false.into(),
        (Kind::UInt32, false) => 0_u32.into(),
        (Kind::UInt32, true) => codec::u32s(std::iter::empty()),
        (Kind::Int64, false) => 0_i64.into(),
        (Kind::Int64, true) => codec::i64s(std::iter::empty()),
        (Kind::Double, _) => 0.0.into(),
        (Kind::String, false) => "".into(),
        (Kind::String, true) => codec::strings(&[]),
    }
}
