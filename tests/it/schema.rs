//! Schemas of arguments in the words of each target: the golden matrix, schemas of real servers,
//! properties, and the way back.

mod arguments;
mod corpus;
mod golden;
mod lowering;
mod properties;
mod rules;
