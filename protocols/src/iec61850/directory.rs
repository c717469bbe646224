//! Where in what an IED sends the points are: types as the IED tells them, and for each attribute which point
//! it is the value, quality or time of.

use std::collections::HashMap;

use iec61850_client::TypeSpecification;
use iec61850_model::MmsValue;

use super::map::PointSpec;

/// What an attribute is to a point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Value,
    Quality,
    Time,
}

/// What an IED sends, read by its own description. Paths are `domain/LN$FC$DO$…`.
#[derive(Debug, Default)]
pub(super) struct Directory {
    /// Types of the data objects that hold points, by path.
    types: HashMap<String, TypeSpecification>,
    /// Attributes of points, by path.
    roles: HashMap<String, Vec<(usize, Role)>>,
}

/// A data object under a functional constraint: the path of what is read as one.
pub(super) fn object_path(path: &str) -> Option<&str> {
    // Logical node, constraint and data object.
    let end = path
        .match_indices('$')
        .nth(2)
        .map_or(path.len(), |(at, _)| at);
    (path.matches('$').count() >= 2).then(|| &path[..end])
}

impl Directory {
    /// Notes the type of a data object.
    pub(super) fn know(&mut self, object: String, of: TypeSpecification) {
        self.types.insert(object, of);
    }

    /// Whether the type of this data object is known.
    pub(super) fn knows(&self, object: &str) -> bool {
        self.types.contains_key(object)
    }

    /// Notes which attributes the point of this number is made of: its own, and the nearest quality and time
    /// beside it or above.
    ///
    /// # Errors
    /// The IED has no such attribute.
    pub(super) fn place(
        &mut self,
        number: usize,
        spec: &PointSpec,
        path: &str,
    ) -> Result<(), String> {
        let nothing = || format!("the IED has no {}", spec.reference);
        let object = object_path(path).ok_or_else(nothing)?;
        if !matches!(self.type_of(path), Some(leaf) if is_leaf(leaf)) {
            return Err(nothing());
        }
        let mut roles = vec![(path.to_owned(), Role::Value)];
        for (name, role) in [("q", Role::Quality), ("t", Role::Time)] {
            let mut above = path;
            while let Some((parent, _)) = above.rsplit_once('$')
                && parent.len() >= object.len()
            {
                let beside = format!("{parent}${name}");
                if self.type_of(&beside).is_some() {
                    roles.push((beside, role));
                    break;
                }
                above = parent;
            }
        }
        for (path, role) in roles {
            self.roles.entry(path).or_default().push((number, role));
        }
        Ok(())
    }

    fn type_of(&self, path: &str) -> Option<&TypeSpecification> {
        let object = object_path(path)?;
        let mut of = self.types.get(object)?;
        for name in path[object.len()..].split('$').skip(1) {
            of = component(of, name)?;
        }
        Some(of)
    }

    /// Whether `path`, or something below it, is a point's value.
    pub(super) fn values_under(&self, path: &str) -> Vec<usize> {
        let under = |found: &str| {
            let rest = found.strip_prefix(path);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('$'))
        };
        let found = self.roles.iter().filter(|(found, _)| under(found));
        let roles = found.flat_map(|(_, roles)| roles);
        let values = roles.filter(|(_, role)| *role == Role::Value);
        values.map(|(number, _)| *number).collect()
    }

    /// Calls `found` for each attribute of a point in `value`, which is what `path` holds. What is not as the IED
    /// has told is passed over.
    pub(super) fn read<'v>(
        &self,
        path: &str,
        value: &'v MmsValue,
        found: &mut impl FnMut(usize, Role, &'v MmsValue),
    ) {
        if let Some(of) = self.type_of(path) {
            self.walk(&mut path.to_owned(), of, value, found);
        }
    }

    fn walk<'v>(
        &self,
        path: &mut String,
        of: &TypeSpecification,
        value: &'v MmsValue,
        found: &mut impl FnMut(usize, Role, &'v MmsValue),
    ) {
        match (of, value) {
            (TypeSpecification::Structure { components }, MmsValue::Structure(values)) => {
                if components.len() != values.len() {
                    return;
                }
                for (component, value) in components.iter().zip(values) {
                    let length = path.len();
                    path.push('$');
                    path.push_str(&component.name);
                    self.walk(path, &component.type_spec, value, found);
                    path.truncate(length);
                }
            }
            (TypeSpecification::Structure { .. } | TypeSpecification::Array { .. }, _) => {}
            _ => {
                for &(number, role) in self.roles.get(path.as_str()).into_iter().flatten() {
                    found(number, role, value);
                }
            }
        }
    }
}

/// A component of a structure.
pub(super) fn component<'t>(
    of: &'t TypeSpecification,
    name: &str,
) -> Option<&'t TypeSpecification> {
    let TypeSpecification::Structure { components } = of else {
        return None;
    };
    let mut components = components.iter();
    let component = components.find(|c| c.name == name)?;
    Some(&component.type_spec)
}

fn is_leaf(of: &TypeSpecification) -> bool {
    !matches!(
        of,
        TypeSpecification::Structure { .. } | TypeSpecification::Array { .. }
    )
}
