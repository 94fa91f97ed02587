//! Names for the tools of many servers: `server-tool`, at most 64 characters of `[A-Za-z0-9_-]`, the
//! first a letter or `_`, which is what every provider takes (OpenAI, Mistral, Bedrock and older Claude
//! models 64 of these; Gemini asks for the first). Owns [`Separator`] and [`ToolNames`]; pure.
//!
//! The name of a tool depends on the separator, on which servers there are and on the tool itself,
//! never on which other tools there are: a tool that comes or goes renames no other, and the same
//! configuration gives the same names in every run.

use std::collections::{HashMap, HashSet};

use crate::error::{Error, ErrorKind, nearest};

/// The longest name that every provider takes.
pub const MAXIMUM_NAME: usize = 64;
/// The longest server part of a name, so that tools keep room for theirs.
const MAXIMUM_PREFIX: usize = 40;
const MAXIMUM_SEPARATOR: usize = 8;
/// How many characters of a hash tell two names apart.
const HASH_CHARACTERS: usize = 8;

/// What stands between the server and the tool in a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Separator(String);

impl Default for Separator {
    fn default() -> Self {
        Self("-".to_owned())
    }
}

impl Separator {
    /// The characters.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Checks a separator.
    ///
    /// # Errors
    /// It is empty, longer than 8 characters, or holds others than `[A-Za-z0-9_-]`.
    pub fn new(text: &str) -> Result<Self, Error> {
        if (1..=MAXIMUM_SEPARATOR).contains(&text.len()) && text.bytes().all(is_safe) {
            return Ok(Self(text.to_owned()));
        }
        Err(Error::new(
            ErrorKind::Configuration,
            format!(
                "the separator of tool names is {text:?}; it takes 1 to {MAXIMUM_SEPARATOR} \
                 characters of A-Z, a-z, 0-9, _ and -"
            ),
        ))
    }
}

/// One tool of one server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Owned<'a> {
    /// The server's name.
    pub server: &'a str,
    /// The tool's name at that server.
    pub tool: &'a str,
}

/// The names under which the tools of many servers are known.
#[derive(Debug, Clone, Default)]
pub struct ToolNames {
    separator: Separator,
    servers: Vec<Server>,
    /// From a name to the server and the place of the tool in its list.
    known: HashMap<String, (usize, usize)>,
    /// From a tool's own name to everyone who has such a tool.
    bare: HashMap<String, Vec<(usize, usize)>>,
}

#[derive(Debug, Clone)]
struct Server {
    name: String,
    prefix: String,
    /// The tool's own name, and the one that it is known by.
    tools: Vec<(String, String)>,
}

impl ToolNames {
    /// Names the tools of `catalogue`: each server with the names of its tools. A second tool of the
    /// same name at the same server is left out.
    pub fn new<'a>(
        separator: Separator,
        catalogue: impl IntoIterator<Item = (&'a str, Vec<&'a str>)>,
    ) -> Self {
        let (servers, tools): (Vec<&str>, Vec<Vec<&str>>) = catalogue.into_iter().unzip();
        let mut names = Self {
            servers: prefixes(&servers),
            separator,
            ..Self::default()
        };
        let mut hashed = Vec::new();
        for (place, tools) in tools.into_iter().enumerate() {
            let mut seen = HashSet::new();
            for tool in tools.into_iter().filter(|tool| seen.insert(*tool)) {
                let index = names.servers[place].tools.len();
                let plain = names.plain(place, tool);
                if let Some(plain) = &plain {
                    names.known.insert(plain.clone(), (place, index));
                } else {
                    hashed.push((place, index));
                }
                let entry = (tool.to_owned(), plain.unwrap_or_default());
                names.servers[place].tools.push(entry);
                let owners = names.bare.entry(tool.to_owned()).or_default();
                owners.push((place, index));
            }
        }
        // In an order of their own, so that not even the order of the lists can change a name.
        hashed.sort_by(|one, other| names.own(*one).cmp(&names.own(*other)));
        for (place, index) in hashed {
            let name = names.hashed(place, index);
            names.known.insert(name.clone(), (place, index));
            names.servers[place].tools[index].1 = name;
        }
        names
    }

    /// The servers, in the order of the catalogue.
    pub fn servers(&self) -> impl Iterator<Item = &str> {
        self.servers.iter().map(|server| server.name.as_str())
    }

    /// The tools of a server: their own names, and those that they are known by.
    pub fn of_server(&self, server: &str) -> impl Iterator<Item = (&str, &str)> {
        self.servers
            .iter()
            .filter(move |known| known.name == server)
            .flat_map(|known| &known.tools)
            .map(|(tool, name)| (tool.as_str(), name.as_str()))
    }

    /// The name that a tool of a server is known by.
    pub fn name_of(&self, server: &str, tool: &str) -> Option<&str> {
        self.of_server(server)
            .find_map(|(own, name)| (own == tool).then_some(name))
    }

    /// The tool that a name stands for: a known name; else the name of a tool that one server alone
    /// has; else the rest of the name at the server with the longest prefix that fits, whose list
    /// may not be known yet.
    ///
    /// # Errors
    /// Several servers have a tool of that name, or nothing fits.
    pub fn find<'a>(&'a self, name: &'a str) -> Result<Owned<'a>, Error> {
        if let Some(found) = self.known.get(name) {
            return Ok(self.owned(*found));
        }
        let prefixed = self.split(name);
        if let Some(owned) = prefixed
            && self.name_of(owned.server, owned.tool).is_some()
        {
            // `server-tool` of a tool whose own name had to be changed.
            return Ok(owned);
        }
        match self.bare.get(name).map(Vec::as_slice) {
            Some([only]) => Ok(self.owned(*only)),
            Some(several) => {
                let choices: Vec<_> = several
                    .iter()
                    .map(|(place, index)| self.servers[*place].tools[*index].1.as_str())
                    .collect();
                Err(Error::new(
                    ErrorKind::Configuration,
                    format!(
                        "several servers have a tool {name:?}; call one of {}",
                        choices.join(", ")
                    ),
                ))
            }
            None => prefixed.ok_or_else(|| self.unknown(name)),
        }
    }

    /// Splits a name at the longest prefix of a server that fits.
    fn split<'a>(&'a self, name: &'a str) -> Option<Owned<'a>> {
        self.servers
            .iter()
            .filter_map(|server| {
                let tool = self.after(server, name)?;
                (!tool.is_empty()).then_some(Owned {
                    server: &server.name,
                    tool,
                })
            })
            .min_by_key(|owned| owned.tool.len())
    }

    fn after<'a>(&self, server: &Server, name: &'a str) -> Option<&'a str> {
        name.strip_prefix(&server.prefix)?
            .strip_prefix(&self.separator.0)
    }

    fn unknown(&self, name: &str) -> Error {
        let near = nearest(name, self.known.keys().map(String::as_str));
        let hint = match near {
            Some(near) => format!("; the nearest is {near:?}"),
            None if self.known.is_empty() => "; no server has listed any tool".to_owned(),
            None => String::new(),
        };
        Error::new(
            ErrorKind::Configuration,
            format!("no server has a tool {name:?}{hint}"),
        )
        .map_context(|context| context.param = Some(name.to_owned()))
    }

    fn owned(&self, (place, index): (usize, usize)) -> Owned<'_> {
        let (server, tool) = self.own((place, index));
        Owned { server, tool }
    }

    fn own(&self, (place, index): (usize, usize)) -> (&str, &str) {
        let server = &self.servers[place];
        (&server.name, &server.tools[index].0)
    }

    /// The name without a hash, if it says all that there is to say.
    fn plain(&self, place: usize, tool: &str) -> Option<String> {
        let server = &self.servers[place];
        let name = format!("{}{}{tool}", server.prefix, self.separator.0);
        let is_readable = !tool.is_empty()
            && name.len() <= MAXIMUM_NAME
            && tool.bytes().all(is_safe)
            && self
                .split(&name)
                .is_some_and(|owned| owned.server == server.name);
        is_readable.then_some(name)
    }

    fn hashed(&self, place: usize, index: usize) -> String {
        let server = &self.servers[place];
        let tool = &server.tools[index].0;
        let mut head = format!("{}{}{}", server.prefix, self.separator.0, safe(tool));
        head.truncate(MAXIMUM_NAME - HASH_CHARACTERS - 1);
        let mut round = 0_u32;
        loop {
            let name = format!("{head}_{}", hash(&[&server.name, tool], round));
            if !self.known.contains_key(&name) {
                return name;
            }
            round += 1;
        }
    }
}

fn is_safe(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-'
}

fn safe(text: &str) -> String {
    let replaced = text.chars().map(|character| match u8::try_from(character) {
        Ok(byte) if is_safe(byte) => character,
        _ => '_',
    });
    replaced.collect()
}

/// The server parts of the names. A server whose name can stand as it is always gets that.
fn prefixes(names: &[&str]) -> Vec<Server> {
    let fits = |name: &str| !name.is_empty() && name.len() <= MAXIMUM_PREFIX;
    let safe = |name: &str| match name.as_bytes().first() {
        Some(first) if *first == b'-' || first.is_ascii_digit() => format!("_{}", safe(name)),
        _ => safe(name),
    };
    let mut taken: HashSet<String> = names
        .iter()
        .filter(|name| fits(name) && safe(name) == **name)
        .map(|name| (*name).to_owned())
        .collect();
    let mut order: Vec<usize> = (0..names.len()).collect();
    order.sort_by_key(|place| names[*place]);
    let mut found = vec![String::new(); names.len()];
    for place in order {
        let name = names[place];
        let plain = safe(name);
        if plain == name && fits(name) {
            found[place] = plain;
            continue;
        }
        let is_alone = names.iter().filter(|other| safe(other) == plain).count() == 1;
        found[place] = if is_alone && fits(&plain) && taken.insert(plain.clone()) {
            plain
        } else {
            let mut head = plain;
            head.truncate(MAXIMUM_PREFIX - HASH_CHARACTERS - 1);
            let mut rounds = (0..).map(|round| format!("{head}_{}", hash(&[name], round)));
            rounds
                .find(|prefix| taken.insert(prefix.clone()))
                .unwrap_or_default()
        };
    }
    names
        .iter()
        .zip(found)
        .map(|(name, prefix)| Server {
            name: (*name).to_owned(),
            prefix,
            tools: Vec::new(),
        })
        .collect()
}

/// FNV-1a: the same in every run and on every machine, which the hashes of std do not promise.
fn hash(parts: &[&str], round: u32) -> String {
    let mut state: u64 = 0xcbf2_9ce4_8422_2325;
    let mut take = |bytes: &[u8]| {
        for byte in bytes {
            state = (state ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    };
    for part in parts {
        take(part.as_bytes());
        take(&[0xff]);
    }
    take(&round.to_le_bytes());
    format!("{:08x}", (state >> 32) ^ (state & 0xffff_ffff))
}
