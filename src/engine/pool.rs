//! Who may begin now: job slots, pools, and tasks that want the terminal for themselves.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::graph::NodeIx;
use crate::plan::Plan;

/// Nodes that want to be executed, best first, and the places there are for them.
///
/// The best waiting node is always the next one to begin; one whose pool is full steps aside until a place of that pool
/// is free. When the best one is interactive nothing else begins before it: what runs drains, it runs alone, and then
/// the rest goes on. So it neither starves nor shares the terminal.
///
/// Every node is moved between heaps a bounded number of times: the whole run costs O(V log V).
#[derive(Debug)]
pub struct Admission {
    wants: Vec<Want>,
    waiting: BinaryHeap<Entry>,
    pools: Vec<Places>,
    jobs: usize,
    running: usize,
    alone: bool,
}

/// What a node asks for.
#[derive(Debug, Clone, Copy)]
struct Want {
    pool: Option<u32>,
    interactive: bool,
    priority: u64,
}

/// The places of one pool and who waits for one.
#[derive(Debug)]
struct Places {
    depth: usize,
    taken: usize,
    aside: BinaryHeap<Entry>,
}

/// A waiting node; the greatest is the best.
type Entry = (u64, Reverse<NodeIx>);

impl Admission {
    /// All places are free.
    pub fn new(plan: &Plan) -> Self {
        let want = |(ix, node): (NodeIx, &crate::graph::ConfiguredTask)| Want {
            pool: plan.pool[ix.index()],
            interactive: node.task.interactive,
            priority: plan.priority[ix.index()],
        };
        let places = |(_, depth): &(String, std::num::NonZeroUsize)| Places {
            depth: depth.get(),
            taken: 0,
            aside: BinaryHeap::new(),
        };
        Self {
            wants: plan.graph.iter().map(want).collect(),
            waiting: BinaryHeap::new(),
            pools: plan.pools.iter().map(places).collect(),
            jobs: plan.limits.jobs.get(),
            running: 0,
            alone: false,
        }
    }

    /// `node` wants to begin.
    pub fn queue(&mut self, node: NodeIx) {
        self.waiting.push((self.wants[node.index()].priority, Reverse(node)));
    }

    /// The next node that may begin, its places taken. `still` says whether a queued node is to begin at all: one that
    /// is not is forgotten.
    pub fn next(&mut self, still: impl Fn(NodeIx) -> bool) -> Option<NodeIx> {
        while self.running < self.jobs && !self.alone {
            let &entry = self.waiting.peek()?;
            let (_, Reverse(node)) = entry;
            let want = self.wants[node.index()];
            let begins = still(node);
            if begins && want.interactive && self.running > 0 {
                return None;
            }
            self.waiting.pop();
            if !begins {
                // It was called back for a place that is now another one's.
                self.call_back(want);
                continue;
            }
            if let Some(pool) = want.pool {
                let places = &mut self.pools[pool as usize];
                if places.taken == places.depth {
                    places.aside.push(entry);
                    continue;
                }
                places.taken += 1;
            }
            self.running += 1;
            self.alone = want.interactive;
            return Some(node);
        }
        None
    }

    /// A node that had begun is over: its places are free, and the best one that stepped aside for it may come back.
    pub fn release(&mut self, node: NodeIx) {
        let want = self.wants[node.index()];
        self.running -= 1;
        if want.interactive {
            self.alone = false;
        }
        if let Some(pool) = want.pool {
            self.pools[pool as usize].taken -= 1;
            self.call_back(want);
        }
    }

    /// Calls the best one back that stepped aside for a place in this pool.
    fn call_back(&mut self, want: Want) {
        if let Some(pool) = want.pool {
            self.waiting.extend(self.pools[pool as usize].aside.pop());
        }
    }

    /// How many run.
    pub fn running(&self) -> usize {
        self.running
    }
}
