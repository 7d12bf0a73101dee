//! Where a walk over the Envfile has been: every node in every environment, by number.
//!
//! A walk meets each need of each node, so names are looked up once and numbers compared from then on: the environment
//! is a slot in a list, a node is its place in its project.

use std::sync::Arc;

use indexmap::IndexSet;

use crate::model::{EnvName, Envfile, Node, NodeName, NodePath, Project, ProjectName, Scope};
use crate::vars::{EnvironmentNames, Values};

use super::build::{ValuesOf, label};

/// How far a visit is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// Nobody looked at it yet.
    New,
    /// What it needs is being visited: to meet it again is a ring.
    Open,
    /// Its node; none if there is something wrong with it, which was said.
    Closed(Option<usize>),
}

/// A node in the environment in which it is reached. Several of them may come to one shared node.
#[derive(Debug, Clone, Copy)]
struct Visit {
    slot: u32,
    room: u32,
    place: u32,
    state: State,
}

/// Every visit, in the order in which they were met.
pub(super) struct Visits<'a> {
    envfile: &'a Envfile,
    /// The environment of each slot; the first has none.
    slots: Vec<Option<EnvName>>,
    rooms: Vec<Room<'a>>,
    list: Vec<Visit>,
    /// The room that was asked for last: most nodes need nodes of their own project.
    last: usize,
}

/// One project.
struct Room<'a> {
    project: &'a Project,
    /// The nodes that only environments have; their places follow those of the base.
    extra: IndexSet<&'a NodeName>,
    /// What is known in each slot.
    sides: Vec<Side<'a>>,
    /// The shared node of each place.
    shared: Vec<u32>,
    decided: Option<EnvironmentNames>,
}

/// One project in one environment.
struct Side<'a> {
    overlay: Option<&'a Scope>,
    /// The visit of each place; empty as long as there is none.
    visits: Vec<u32>,
    values: Option<Arc<Values>>,
}

const NONE: u32 = u32::MAX;

impl<'a> Visits<'a> {
    pub fn new(envfile: &'a Envfile) -> Self {
        let room = |project: &'a Project| Room {
            extra: project
                .overlays
                .values()
                .flat_map(|scope| scope.nodes.keys())
                .filter(|name| !project.base.nodes.contains_key(*name))
                .collect(),
            sides: vec![Side::new(project, None)],
            shared: Vec::new(),
            decided: None,
            project,
        };
        let rooms = envfile.projects.values().map(room).collect();
        Self { envfile, slots: vec![None], rooms, list: Vec::new(), last: 0 }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// The slot of an environment.
    pub fn slot(&mut self, env: Option<&EnvName>) -> u32 {
        let known = self.slots.iter().position(|known| known.as_ref() == env);
        let slot = known.unwrap_or_else(|| {
            self.slots.push(env.cloned());
            for room in &mut self.rooms {
                room.sides.push(Side::new(room.project, env));
            }
            self.slots.len() - 1
        });
        slot as u32
    }

    /// Where a path leads: the number of its project, and its place there.
    fn place(&mut self, path: &NodePath) -> Option<(usize, usize)> {
        let is_last = self.rooms.get(self.last).is_some_and(|room| room.project.name == path.project);
        if !is_last {
            self.last = self.envfile.projects.get_index_of(&path.project)?;
        }
        let room = &self.rooms[self.last];
        let base = &room.project.base.nodes;
        let place = base.get_index_of(&path.name);
        Some((self.last, place.or_else(|| Some(base.len() + room.extra.get_index_of(&path.name)?))?))
    }

    /// The visit of a node in an environment, a new one if it was not met before; none if there is no such node
    /// anywhere.
    pub fn entry(&mut self, path: &NodePath, slot: u32) -> Option<usize> {
        let (number, place) = self.place(path)?;
        let room = &mut self.rooms[number];
        let side = &mut room.sides[slot as usize];
        if side.visits.is_empty() {
            side.visits = vec![NONE; room.project.base.nodes.len() + room.extra.len()];
        }
        let known = &mut side.visits[place];
        if *known == NONE {
            *known = self.list.len() as u32;
            self.list.push(Visit { slot, room: number as u32, place: place as u32, state: State::New });
        }
        Some(*known as usize)
    }

    /// The node of a path in an environment, or else the shared one, as far as there is one.
    pub fn find(&mut self, path: &NodePath, slot: u32) -> Option<usize> {
        let (number, place) = self.place(path)?;
        let room = &self.rooms[number];
        let visit = room.sides[slot as usize].visits.get(place).filter(|visit| **visit != NONE);
        let own = visit.and_then(|visit| self.node(*visit as usize));
        own.or_else(|| room.shared.get(place).filter(|node| **node != NONE).map(|node| *node as usize))
    }

    pub fn state(&self, visit: usize) -> State {
        self.list[visit].state
    }

    pub fn set(&mut self, visit: usize, state: State) {
        self.list[visit].state = state;
    }

    /// The node that a visit came to.
    pub fn node(&self, visit: usize) -> Option<usize> {
        if let State::Closed(node) = self.list[visit].state { node } else { None }
    }

    pub fn env_slot(&self, visit: usize) -> u32 {
        self.list[visit].slot
    }

    pub fn env(&self, visit: usize) -> Option<&EnvName> {
        self.slots[self.list[visit].slot as usize].as_ref()
    }

    fn room(&self, visit: usize) -> &Room<'a> {
        &self.rooms[self.list[visit].room as usize]
    }

    fn side(&self, visit: usize) -> &Side<'a> {
        &self.room(visit).sides[self.list[visit].slot as usize]
    }

    fn name(&self, visit: usize) -> &'a NodeName {
        let (room, place) = (self.room(visit), self.list[visit].place as usize);
        let base = &room.project.base.nodes;
        base.name_at(place).unwrap_or_else(|| room.extra[place - base.len()])
    }

    pub fn project(&self, visit: usize) -> &'a ProjectName {
        &self.room(visit).project.name
    }

    pub fn path(&self, visit: usize) -> NodePath {
        NodePath { project: self.project(visit).clone(), name: self.name(visit).clone() }
    }

    pub fn label(&self, visit: usize) -> String {
        label(&self.path(visit), self.env(visit))
    }

    /// What the node is there, if the environment has it.
    pub fn definition(&self, visit: usize) -> Option<&'a Node> {
        let own = self.side(visit).overlay.and_then(|scope| scope.nodes.get(self.name(visit)));
        let base = &self.room(visit).project.base.nodes;
        own.or_else(|| base.at(self.list[visit].place as usize))
    }

    /// Whether the environment says something of its own about the node.
    pub fn is_patched(&self, visit: usize) -> bool {
        self.side(visit).overlay.is_some_and(|scope| scope.nodes.contains_key(self.name(visit)))
    }

    /// The node that stands for this one in every environment.
    pub fn shared(&self, visit: usize) -> Option<usize> {
        let node = self.room(visit).shared.get(self.list[visit].place as usize);
        node.filter(|node| **node != NONE).map(|node| *node as usize)
    }

    pub fn share(&mut self, visit: usize, node: usize) {
        let Visit { room, place, .. } = self.list[visit];
        let room = &mut self.rooms[room as usize];
        if room.shared.is_empty() {
            room.shared = vec![NONE; room.project.base.nodes.len() + room.extra.len()];
        }
        room.shared[place as usize] = node as u32;
    }

    /// The values of the node's project there, or at the root.
    pub fn values(&mut self, visit: usize, at_root: bool, of: &mut ValuesOf<'_>) -> Arc<Values> {
        let Visit { room, slot, .. } = self.list[visit];
        let slot = if at_root { 0 } else { slot as usize };
        let env = self.slots[slot].as_ref();
        let room = &mut self.rooms[room as usize];
        let values = &mut room.sides[slot].values;
        Arc::clone(values.get_or_insert_with(|| of(&room.project.name, env)))
    }

    /// The names that an environment may decide in the node's project.
    pub fn decided(&mut self, visit: usize) -> &EnvironmentNames {
        let room = &mut self.rooms[self.list[visit].room as usize];
        room.decided.get_or_insert_with(|| EnvironmentNames::of(self.envfile, &room.project.name))
    }
}

impl<'a> Side<'a> {
    fn new(project: &'a Project, env: Option<&EnvName>) -> Self {
        Self { overlay: env.and_then(|env| project.overlays.get(env)), visits: Vec::new(), values: None }
    }
}
