//! Whatever the schema is, lowering ends, its target accepts what comes out, and what the server does
//! not take is caught before the call.

use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Map, Value, json};
use toolbridge::schema::{Schema, Target, is_plain, lower};
use toolbridge::tools::InputSchema;

use super::rules::problems;

fn names() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "[a-c]",
        1 => "[a-c] [a-c]|é|\\$ref|properties|x-a",
    ]
}

fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-3..4_i64).prop_map(Value::from),
        Just(json!(1.5)),
        "[a-c]{0,3}".prop_map(Value::from),
    ];
    leaf.prop_recursive(2, 6, 3, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..3).prop_map(Value::from),
            vec((names(), inner), 0..3)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

fn kinds() -> impl Strategy<Value = Value> {
    let kind = prop::sample::select(vec![
        "string", "integer", "number", "boolean", "object", "array", "null",
    ]);
    prop_oneof![
        5 => kind.clone().prop_map(Value::from),
        1 => vec(kind, 1..4).prop_map(|mut kinds| {
            kinds.sort_unstable();
            kinds.dedup();
            Value::from(kinds)
        }),
        1 => prop::sample::select(vec![json!("any"), json!("int"), json!("what"), json!(null), json!([])]),
    ]
}

fn references() -> impl Strategy<Value = Value> {
    prop::sample::select(vec![
        "#",
        "#/$defs/a",
        "#/$defs/b",
        "#/definitions/a",
        "#/properties/a",
        "#/properties/b/items",
        "#anchor",
        "#/$defs/none",
        "https://example.com/x",
        "%",
        "#/$defs/a/properties/c",
    ])
    .prop_map(Value::from)
}

/// A keyword with a value that it may have.
fn keyword(inner: &BoxedStrategy<Value>) -> impl Strategy<Value = (String, Value)> + use<> {
    let named = vec((names(), inner.clone()), 0..3)
        .prop_map(|members| Value::Object(members.into_iter().collect()))
        .boxed();
    let listed = vec(inner.clone(), 0..3).prop_map(Value::from).boxed();
    let number = prop_oneof![
        (-2..6_i64).prop_map(Value::from),
        Just(json!(0.5)),
        Just(json!("3"))
    ]
    .boxed();
    let texts = vec(names(), 0..3).prop_map(Value::from).boxed();
    let text = prop::sample::select(vec![
        "date-time",
        "uri",
        "^[a-c]+$",
        "^(?!a)",
        "\\p{L}",
        "x",
    ])
    .prop_map(Value::from)
    .boxed();
    let with = |keyword: &'static str, values: &BoxedStrategy<Value>| {
        (Just(keyword.to_owned()), values.clone()).boxed()
    };
    let mut all = vec![
        with("type", &kinds().boxed()),
        with("type", &kinds().boxed()),
        with("$ref", &references().boxed()),
        with("enum", &vec(values(), 0..4).prop_map(Value::from).boxed()),
        with(
            "discriminator",
            &names()
                .prop_map(|name| json!({"propertyName": name}))
                .boxed(),
        ),
        with(
            "dependentRequired",
            &names().prop_map(|name| json!({"a": [name]})).boxed(),
        ),
        with("items", inner),
        with("items", &listed),
        with("properties", &named),
        with("required", &texts),
    ];
    for keyword in [
        "const",
        "default",
        "examples",
        "x-mcp-header",
        "unknown",
        "nullable",
        "uniqueItems",
    ] {
        all.push(with(keyword, &values().boxed()));
    }
    for keyword in ["format", "pattern", "title", "description", "$anchor"] {
        all.push(with(keyword, &text));
    }
    for keyword in [
        "minimum",
        "maximum",
        "exclusiveMinimum",
        "minLength",
        "maxItems",
        "multipleOf",
        "minProperties",
    ] {
        all.push(with(keyword, &number));
    }
    for keyword in ["allOf", "anyOf", "oneOf", "prefixItems"] {
        all.push(with(keyword, &listed));
    }
    for keyword in [
        "properties",
        "patternProperties",
        "dependentSchemas",
        "dependencies",
        "$defs",
        "definitions",
    ] {
        all.push(with(keyword, &named));
    }
    for keyword in [
        "additionalProperties",
        "not",
        "if",
        "then",
        "else",
        "contains",
        "propertyNames",
        "additionalItems",
    ] {
        all.push(with(keyword, inner));
    }
    proptest::strategy::Union::new(all)
}

fn schemas() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        6 => kinds().prop_map(|kind| json!({"type": kind})),
        1 => any::<bool>().prop_map(Value::from),
        1 => references().prop_map(|reference| json!({"$ref": reference})),
        1 => values(),
    ];
    leaf.prop_recursive(4, 40, 5, |inner| {
        vec(keyword(&inner.boxed()), 0..6)
            .prop_map(|keywords| Value::Object(keywords.into_iter().collect()))
    })
}

/// Schemas of arguments, mostly.
fn roots() -> impl Strategy<Value = Value> {
    let named = || {
        vec((names(), schemas()), 0..4)
            .prop_map(|members| Value::Object(members.into_iter().collect::<Map<_, _>>()))
    };
    prop_oneof![
        1 => schemas(),
        4 => (schemas(), named(), named()).prop_map(|(schema, properties, definitions)| {
            let mut root = schema.as_object().cloned().unwrap_or_default();
            root.insert("type".to_owned(), json!("object"));
            root.insert("properties".to_owned(), properties);
            root.insert("$defs".to_owned(), definitions);
            Value::Object(root)
        }),
    ]
}

/// A keyword that plain schemas have, with a value that it has there, or nearly so.
fn plain_keyword(inner: &BoxedStrategy<Value>) -> impl Strategy<Value = (String, Value)> + use<> {
    let named = vec((names(), inner.clone()), 0..3)
        .prop_map(|members| Value::Object(members.into_iter().collect()))
        .boxed();
    let scalar = values().boxed();
    let number = prop_oneof![(-1..4_i64).prop_map(Value::from), Just(json!(0.5))].boxed();
    let texts = vec("[a-c]", 0..3).prop_map(Value::from).boxed();
    let text = "[a-c]{0,3}".prop_map(Value::from).boxed();
    let values_of = |keyword: &str| match keyword {
        "properties" => named.clone(),
        "items" | "additionalProperties" => inner.clone(),
        "required" | "enum" => texts.clone(),
        "anyOf" => vec(inner.clone(), 0..3).prop_map(Value::from).boxed(),
        "title" | "description" | "format" | "$schema" => text.clone(),
        "default" => scalar.clone(),
        "uniqueItems" => any::<bool>().prop_map(Value::from).boxed(),
        _ => number.clone(),
    };
    let keywords = [
        "properties",
        "anyOf",
        "anyOf",
        "items",
        "additionalProperties",
        "required",
        "enum",
        "title",
        "description",
        "format",
        "$schema",
        "default",
        "uniqueItems",
        "minItems",
        "maxItems",
        "minLength",
        "maxLength",
        "minimum",
        "maximum",
        "exclusiveMinimum",
        "exclusiveMaximum",
    ];
    let all = keywords.map(|keyword| (Just(keyword.to_owned()), values_of(keyword)).boxed());
    proptest::strategy::Union::new(all)
}

/// Schemas that are plain, or nearly so.
fn plain_schemas() -> impl Strategy<Value = Value> {
    let kind = prop::sample::select(vec![
        "string", "integer", "number", "boolean", "object", "array", "null",
    ]);
    let leaf = kind.clone().prop_map(|kind| json!({"type": kind}));
    leaf.prop_recursive(3, 20, 4, move |inner| {
        let keywords = vec(plain_keyword(&inner.boxed()), 0..3);
        (kind.clone(), keywords, 0..8).prop_map(|(kind, keywords, lot)| {
            let mut schema: Map<String, Value> = keywords.into_iter().collect();
            if lot == 0 || !schema.contains_key("anyOf") {
                schema.insert("type".to_owned(), json!(kind));
            }
            Value::Object(schema)
        })
    })
}

fn plain_roots() -> impl Strategy<Value = Value> {
    let properties = vec((names(), plain_schemas()), 0..3);
    (properties, plain_schemas()).prop_map(|(properties, more)| {
        let mut root = more.as_object().cloned().unwrap_or_default();
        root.insert("type".to_owned(), json!("object"));
        let properties = properties.into_iter().collect::<Map<_, _>>();
        root.insert("properties".to_owned(), Value::Object(properties));
        Value::Object(root)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn what_is_plain_needs_no_lowering(schema in prop_oneof![plain_roots(), roots()]) {
        for target in Target::ALL.into_iter().filter(|target| is_plain(&schema, *target)) {
            let lowered = lower(&schema, target);
            prop_assert!(
                !lowered.is_changed() && lowered.remarks.is_empty() && lowered.schema == schema,
                "{}: {:?}\n{}", target.name(), lowered.changes, schema
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn any_schema_becomes_one_that_the_target_accepts(schema in roots()) {
        for target in Target::ALL {
            let lowered = lower(&schema, target);
            let found = problems(lowered.target, &lowered.schema);
            prop_assert!(found.is_empty(), "{}: {:?}\n{}", target.name(), found, lowered.schema);
            let is_same = lowered.schema == schema && lowered.target == target;
            prop_assert_eq!(
                is_same, !lowered.is_changed(),
                "{}: {:?}\n{}", target.name(), lowered.changes, lowered.schema
            );
        }
    }

    #[test]
    fn what_is_lowered_once_is_not_lowered_further(schema in roots()) {
        for target in Target::ALL {
            let once = lower(&schema, target);
            let twice = lower(&once.schema, once.target);
            prop_assert!(
                !twice.is_changed(),
                "{}: {:?}\n{}\n{}", target.name(), twice.changes, once.schema, twice.schema
            );
        }
    }

    #[test]
    fn what_the_server_does_not_take_is_caught_before_the_call(
        schema in roots(),
        arguments in vec((names(), values()), 0..4),
    ) {
        let arguments = Value::Object(arguments.into_iter().collect::<Map<_, _>>());
        let text = arguments.to_string();
        for target in Target::ALL {
            let input = InputSchema::new(&schema, target);
            let sent = input.read("t", &text);
            let mut restored = arguments.clone();
            input.lowered().restore(&mut restored);
            let Ok(original) = Schema::compile(&schema.to_string()) else {
                continue;
            };
            let is_taken = !matches!(
                original.check(&restored, text.len()),
                Err(toolbridge::schema::Fault::Mismatch(_))
            );
            prop_assert_eq!(sent.is_ok(), is_taken && restored.is_object());
            if let Ok(sent) = sent {
                prop_assert_eq!(Value::Object(sent), restored);
            }
        }
    }
}
