//! What each provider can say about the arguments of a tool. Owns [`Target`] and [`Dialect`]: data
//! alone, which `lower` reads. Where a provider documents no rule, the rule is the one that its
//! refusals name.

/// A provider's way to describe the arguments of a tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Target {
    /// Chat completions of OpenAI.
    OpenAi,
    /// The same with `strict: true`: what the model sends fits exactly.
    OpenAiStrict,
    /// OpenAI's Responses API.
    OpenAiResponses,
    /// Anthropic's Messages API, wherever it is served.
    Anthropic,
    /// `parametersJsonSchema` of Gemini.
    Gemini,
    /// `toolSpec.inputSchema` of Bedrock's Converse API.
    Bedrock,
    /// The same for Amazon's Nova models, which read less.
    BedrockNova,
    /// Cohere's chat API, version 2.
    Cohere,
    /// Ollama's chat API.
    Ollama,
    /// Mistral's chat API.
    Mistral,
}

impl Target {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::OpenAi,
        Self::OpenAiStrict,
        Self::OpenAiResponses,
        Self::Anthropic,
        Self::Gemini,
        Self::Bedrock,
        Self::BedrockNova,
        Self::Cohere,
        Self::Ollama,
        Self::Mistral,
    ];

    /// The name, as in `openai_strict`.
    pub fn name(self) -> &'static str {
        match self {
            Self::OpenAi => "openai",
            Self::OpenAiStrict => "openai_strict",
            Self::OpenAiResponses => "openai_responses",
            Self::Anthropic => "anthropic",
            Self::Gemini => "gemini",
            Self::Bedrock => "bedrock",
            Self::BedrockNova => "bedrock_nova",
            Self::Cohere => "cohere",
            Self::Ollama => "ollama",
            Self::Mistral => "mistral",
        }
    }

    /// The target by its name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|target| target.name() == name)
    }

    /// What it can say.
    pub(super) fn dialect(self) -> &'static Dialect {
        match self {
            Self::OpenAi | Self::OpenAiResponses => &OPENAI,
            Self::OpenAiStrict => &OPENAI_STRICT,
            Self::Anthropic | Self::Bedrock => &ANTHROPIC,
            Self::Gemini => &GEMINI,
            Self::BedrockNova => &NOVA,
            Self::Cohere => &COHERE,
            Self::Ollama => &OLLAMA,
            Self::Mistral => &MISTRAL,
        }
    }
}

/// Some keywords.
#[derive(Debug)]
pub(super) enum Keywords {
    /// All but these.
    AllBut(&'static [&'static str]),
    /// These alone.
    Only(&'static [&'static str]),
}

impl Keywords {
    pub(super) fn has(&self, keyword: &str) -> bool {
        match self {
            Self::AllBut(others) => !others.contains(&keyword),
            Self::Only(these) => these.contains(&keyword),
        }
    }
}

/// Which lists of types can be said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TypeLists {
    Any,
    /// Of types that hold nothing themselves.
    Plain,
    /// Of one type and `null`.
    Nullable,
}

/// Which values an `enum` can list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Choices {
    Any,
    /// Those that hold nothing themselves.
    Plain,
    /// Texts, or numbers.
    TextsOrNumbers,
}

/// Which regular expressions are understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Patterns {
    Any,
    /// Those that Python's `re` can read.
    Python,
    /// Those of them that say what follows or precedes without looking around.
    Regular,
}

/// How large a schema may be.
#[derive(Debug)]
pub(super) struct Limits {
    /// How deep objects and lists may stand in one another.
    pub(super) nesting: usize,
    pub(super) properties: usize,
    pub(super) choices: usize,
    /// Characters of names and of choices, together.
    pub(super) characters: usize,
    /// From how many choices on the characters of one list are limited, and how many they may be.
    pub(super) long_list: (usize, usize),
}

/// What a target can say.
#[derive(Debug)]
pub(super) struct Dialect {
    pub(super) keywords: Keywords,
    /// Those of `keywords` that the root may have.
    pub(super) root: Keywords,
    /// What is not among the keywords is refused, where it is not only overlooked.
    pub(super) refuses_others: bool,
    /// `$ref` to definitions at the root, recursive ones too.
    pub(super) references: bool,
    /// Keywords may stand beside `$ref`.
    pub(super) beside_references: bool,
    /// `true` and `false` in the place of a schema.
    pub(super) booleans: bool,
    pub(super) type_lists: TypeLists,
    pub(super) choices: Choices,
    /// The formats of texts; all where there is no list.
    pub(super) formats: Option<&'static [&'static str]>,
    pub(super) patterns: Patterns,
    /// A list has to say what its items are.
    pub(super) needs_items: bool,
    /// `required` names properties alone that are described.
    pub(super) requires_known: bool,
    /// Names of properties are up to 64 of `[A-Za-z0-9_.-]`.
    pub(super) plain_names: bool,
    /// Every object lists all that it takes, and all of it is required: strict mode.
    pub(super) closed: bool,
    pub(super) limits: Option<Limits>,
}

impl Dialect {
    pub(super) fn says(&self, keyword: &str, is_root: bool) -> bool {
        self.keywords.has(keyword) && (!is_root || self.root.has(keyword))
    }
}

/// What says nothing about a value.
pub(super) const ANNOTATIONS: [&str; 11] = [
    "$schema",
    "$id",
    "id",
    "$anchor",
    "$dynamicAnchor",
    "$recursiveAnchor",
    "$comment",
    "$vocabulary",
    "title",
    "readOnly",
    "writeOnly",
];

/// JSON Schema 2020-12, but for the root: "schema must have type 'object' and not have
/// 'oneOf'/'anyOf'/'allOf'/'enum'/'not' at the top level", "array schema missing items".
/// <https://platform.openai.com/docs/guides/function-calling>
const OPENAI: Dialect = Dialect {
    keywords: Keywords::AllBut(&[]),
    root: Keywords::AllBut(&["oneOf", "anyOf", "allOf", "enum", "const", "not"]),
    refuses_others: false,
    references: true,
    beside_references: true,
    booleans: true,
    type_lists: TypeLists::Any,
    choices: Choices::Any,
    formats: None,
    patterns: Patterns::Python,
    needs_items: true,
    requires_known: false,
    plain_names: false,
    closed: false,
    limits: None,
};

/// <https://platform.openai.com/docs/guides/structured-outputs#supported-schemas>
const OPENAI_STRICT: Dialect = Dialect {
    keywords: Keywords::Only(&[
        "$schema",
        "$ref",
        "$defs",
        "definitions",
        "type",
        "title",
        "description",
        "enum",
        "const",
        "anyOf",
        "properties",
        "required",
        "additionalProperties",
        "items",
        "minItems",
        "maxItems",
        "minimum",
        "maximum",
        "exclusiveMinimum",
        "exclusiveMaximum",
        "multipleOf",
        "pattern",
        "format",
    ]),
    root: Keywords::AllBut(&["anyOf", "enum", "const", "$ref"]),
    refuses_others: true,
    references: true,
    beside_references: false,
    booleans: false,
    type_lists: TypeLists::Plain,
    choices: Choices::Plain,
    formats: Some(&[
        "date-time",
        "time",
        "date",
        "duration",
        "email",
        "hostname",
        "ipv4",
        "ipv6",
        "uuid",
    ]),
    patterns: Patterns::Regular,
    needs_items: true,
    requires_known: true,
    plain_names: false,
    closed: true,
    limits: Some(Limits {
        nesting: 10,
        properties: 5_000,
        choices: 1_000,
        characters: 120_000,
        long_list: (250, 15_000),
    }),
};

/// JSON Schema 2020-12, but for the root ("`input_schema` does not support oneOf, allOf, or anyOf at
/// the top level") and for names ("Property keys should match pattern '^[a-zA-Z0-9_.-]{1,64}$'").
/// <https://docs.anthropic.com/en/docs/agents-and-tools/tool-use/implement-tool-use>
/// Converse asks for an object at the root, and its models are mostly these.
/// <https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ToolInputSchema.html>
const ANTHROPIC: Dialect = Dialect {
    root: Keywords::AllBut(&["oneOf", "anyOf", "allOf"]),
    patterns: Patterns::Any,
    needs_items: false,
    plain_names: true,
    ..OPENAI
};

/// "Only three fields are supported in the top-level object: type, properties and required"; others
/// are extraneous keys, definitions among them.
/// <https://docs.aws.amazon.com/nova/latest/userguide/tool-use-definition.html>
const NOVA: Dialect = Dialect {
    root: Keywords::Only(&["type", "properties", "required"]),
    refuses_others: true,
    references: false,
    patterns: Patterns::Any,
    needs_items: false,
    ..OPENAI
};

/// The fields of `responseJsonSchema`, which is read as `parametersJsonSchema` is. It knows references
/// too, and yet refuses many: "reference to undefined schema", "$ref was set alongside unsupported
/// fields". <https://ai.google.dev/api/generate-content#FIELDS.response_json_schema>
const GEMINI: Dialect = Dialect {
    keywords: Keywords::Only(&[
        "type",
        "format",
        "title",
        "description",
        "enum",
        "items",
        "prefixItems",
        "minItems",
        "maxItems",
        "minimum",
        "maximum",
        "anyOf",
        "oneOf",
        "properties",
        "additionalProperties",
        "required",
        "propertyOrdering",
    ]),
    root: Keywords::AllBut(&["anyOf", "oneOf", "enum"]),
    refuses_others: true,
    references: false,
    beside_references: false,
    booleans: false,
    type_lists: TypeLists::Nullable,
    choices: Choices::TextsOrNumbers,
    formats: Some(&["date-time", "date", "time"]),
    patterns: Patterns::Any,
    needs_items: true,
    requires_known: true,
    plain_names: false,
    closed: false,
    limits: None,
};

/// <https://docs.cohere.com/docs/tool-use-parameter-types>
const COHERE: Dialect = Dialect {
    keywords: Keywords::Only(&[
        "type",
        "title",
        "description",
        "default",
        "enum",
        "const",
        "pattern",
        "format",
        "anyOf",
        "items",
        "properties",
        "additionalProperties",
        "required",
    ]),
    root: Keywords::AllBut(&["anyOf", "enum", "const"]),
    refuses_others: false,
    references: false,
    beside_references: false,
    booleans: false,
    type_lists: TypeLists::Nullable,
    choices: Choices::Any,
    formats: Some(&["date-time", "date", "time", "uuid"]),
    patterns: Patterns::Regular,
    needs_items: false,
    requires_known: true,
    plain_names: false,
    closed: false,
    limits: None,
};

/// The members of `ToolFunctionParameters` and `ToolProperty` in Ollama's `api/types.go`: what they do
/// not have is overlooked, what has another type refused.
const OLLAMA: Dialect = Dialect {
    keywords: Keywords::Only(&[
        "type",
        "description",
        "enum",
        "anyOf",
        "items",
        "properties",
        "required",
    ]),
    root: Keywords::Only(&["type", "properties", "required"]),
    refuses_others: false,
    references: false,
    beside_references: false,
    booleans: false,
    type_lists: TypeLists::Any,
    choices: Choices::Any,
    formats: None,
    patterns: Patterns::Any,
    needs_items: false,
    requires_known: false,
    plain_names: false,
    closed: false,
    limits: None,
};

/// Close to JSON Schema; the grammar that is made of a schema fails on what names it.
const MISTRAL: Dialect = Dialect {
    keywords: Keywords::AllBut(&["$schema", "$id", "id"]),
    root: Keywords::AllBut(&[]),
    refuses_others: true,
    patterns: Patterns::Any,
    needs_items: false,
    ..OPENAI
};
