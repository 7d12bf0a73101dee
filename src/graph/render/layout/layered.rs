//! A drawing in layers, as Sugiyama, Tagawa and Toda describe it: ranks, order within a rank, places.
//!
//! Everything flows from left to right. An edge that spans several ranks passes through a bend in each rank between, and
//! bends take part in the ordering like boxes, so that long edges go around what stands in their way.

/// Boxes and edges with their places.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Drawing {
    /// The centre of each box.
    pub centres: Vec<(f64, f64)>,
    /// Each edge: from the right side of a box, through its bends, to the left side of another.
    pub routes: Vec<Vec<(f64, f64)>>,
    /// How much room everything takes; places begin at 0.
    pub width: f64,
    /// The same, from top to bottom.
    pub height: f64,
}

/// Between two boxes of a rank.
const GAP: f64 = 14.0;
/// Between a bend and what is next to it.
const BEND_GAP: f64 = 9.0;
/// More bends than this cost more time than they bring beauty: the longest edges go straight.
const MOST_BENDS: usize = 12_000;

/// Draws boxes of the given sizes (width, height) and the edges between them, each from a lower to a higher place.
pub(super) fn layered(sizes: &[(f64, f64)], edges: &[(usize, usize)]) -> Drawing {
    let ranks = ranks(sizes.len(), edges);
    let mut levels = Levels::new(sizes, edges, &ranks);
    levels.untangle();
    let ys = levels.heights(sizes);
    levels.draw(sizes, edges, &ranks, &ys)
}

/// How far to the right each box stands: behind everything before it, and near to what it has most to do with.
fn ranks(count: usize, edges: &[(usize, usize)]) -> Vec<usize> {
    let mut before = vec![Vec::new(); count];
    let mut behind = vec![Vec::new(); count];
    for &(from, to) in edges {
        behind[from].push(to);
        before[to].push(from);
    }
    let mut rank = vec![0; count];
    for at in 0..count {
        rank[at] = before[at].iter().map(|&earlier| rank[earlier] + 1).max().unwrap_or(0);
    }
    for at in (0..count).rev() {
        let right = behind[at].iter().map(|&later| rank[later] - 1).min();
        if let Some(right) = right.filter(|_| behind[at].len() >= before[at].len()) {
            rank[at] = right;
        }
    }
    for at in 0..count {
        let left = before[at].iter().map(|&earlier| rank[earlier] + 1).max();
        if let Some(left) = left.filter(|_| before[at].len() > behind[at].len()) {
            rank[at] = left;
        }
    }
    let first = rank.iter().copied().min().unwrap_or(0);
    rank.iter_mut().for_each(|rank| *rank -= first);
    rank
}

/// Boxes and bends, rank by rank. Boxes have the lower places.
struct Levels {
    boxes: usize,
    /// The order within each rank.
    levels: Vec<Vec<usize>>,
    /// Neighbours in the rank to the left and to the right.
    left: Vec<Vec<usize>>,
    right: Vec<Vec<usize>>,
    /// The bends of each edge.
    bends: Vec<Vec<usize>>,
}

impl Levels {
    fn new(sizes: &[(f64, f64)], edges: &[(usize, usize)], ranks: &[usize]) -> Self {
        let count = ranks.iter().max().map_or(0, |last| last + 1);
        let mut levels = vec![Vec::new(); count];
        for (at, &rank) in ranks.iter().enumerate() {
            levels[rank].push(at);
        }
        let mut left = vec![Vec::new(); sizes.len()];
        let mut right = vec![Vec::new(); sizes.len()];
        let mut bends = vec![Vec::new(); edges.len()];
        let mut by_span: Vec<usize> = (0..edges.len()).collect();
        by_span.sort_by_key(|&edge| (ranks[edges[edge].1] - ranks[edges[edge].0], edge));
        let mut left_over = MOST_BENDS;
        for edge in by_span {
            let (from, to) = edges[edge];
            let between = ranks[to] - ranks[from] - 1;
            if between > left_over {
                continue;
            }
            left_over -= between;
            let mut last = from;
            for level in &mut levels[ranks[from] + 1..ranks[to]] {
                let bend = left.len();
                left.push(vec![last]);
                right.push(Vec::new());
                right[last].push(bend);
                level.push(bend);
                bends[edge].push(bend);
                last = bend;
            }
            right[last].push(to);
            left[to].push(last);
        }
        Self { boxes: sizes.len(), levels, left, right, bends }
    }

    /// Orders each rank by the mean place of its neighbours, to and fro, and keeps the order with the fewest crossings.
    fn untangle(&mut self) {
        let sweeps = if self.left.len() > 3000 { 6 } else { 24 };
        let mut place = vec![0.0_f64; self.left.len()];
        let mut best = (self.crossings(), self.levels.clone());
        for sweep in 0..sweeps {
            if best.0 == 0 {
                break;
            }
            let ranks: Vec<usize> = if sweep % 2 == 0 {
                (0..self.levels.len()).collect()
            } else {
                (0..self.levels.len()).rev().collect()
            };
            for level in &self.levels {
                for (at, &node) in level.iter().enumerate() {
                    place[node] = at as f64;
                }
            }
            for rank in ranks {
                let neighbours = if sweep % 2 == 0 { &self.left } else { &self.right };
                let wish = |node: usize| {
                    let near = &neighbours[node];
                    if near.is_empty() {
                        place[node]
                    } else {
                        near.iter().map(|&other| place[other]).sum::<f64>() / near.len() as f64
                    }
                };
                let mut wishes: Vec<(f64, usize)> =
                    self.levels[rank].iter().map(|&node| (wish(node), node)).collect();
                // Stable: equals keep their order, so that a picture does not jump without a reason.
                wishes.sort_by(|a, b| a.0.total_cmp(&b.0));
                for (at, &(_, node)) in wishes.iter().enumerate() {
                    self.levels[rank][at] = node;
                    place[node] = at as f64;
                }
            }
            let crossings = self.crossings();
            if crossings < best.0 {
                best = (crossings, self.levels.clone());
            }
        }
        self.levels = best.1;
    }

    /// How many pairs of edges cross: inversions, counted with a Fenwick tree.
    fn crossings(&self) -> usize {
        let mut place = vec![0; self.left.len()];
        for level in &self.levels {
            for (at, &node) in level.iter().enumerate() {
                place[node] = at;
            }
        }
        let mut crossings = 0;
        for pair in self.levels.windows(2) {
            let mut tree = vec![0_usize; pair[1].len() + 1];
            let mut seen = 0;
            for &node in &pair[0] {
                let mut ends: Vec<usize> = self.right[node].iter().map(|&later| place[later]).collect();
                ends.sort_unstable();
                for &end in &ends {
                    // Those that began above and end below this one: all, less those that end here or above.
                    let (mut at, mut above) = (end + 1, 0);
                    while at > 0 {
                        above += tree[at];
                        at &= at - 1;
                    }
                    crossings += seen - above;
                }
                for end in ends {
                    let mut at = end + 1;
                    while at < tree.len() {
                        tree[at] += 1;
                        at += at & at.wrapping_neg();
                    }
                    seen += 1;
                }
            }
        }
        crossings
    }

    /// The height of every box and bend: as near to its neighbours as the order and the gaps allow.
    fn heights(&self, sizes: &[(f64, f64)]) -> Vec<f64> {
        let half = |node: usize| if node < self.boxes { sizes[node].1 / 2.0 } else { 0.0 };
        let gap = |a: usize, b: usize| if a < self.boxes && b < self.boxes { GAP } else { BEND_GAP };
        let mut ys = vec![0.0_f64; self.left.len()];
        for level in &self.levels {
            let mut y = 0.0;
            for (at, &node) in level.iter().enumerate() {
                if at > 0 {
                    y += half(level[at - 1]) + gap(level[at - 1], node) + half(node);
                }
                ys[node] = y;
            }
            let middle = y / 2.0;
            level.iter().for_each(|&node| ys[node] -= middle);
        }
        let weight = |a: usize, b: usize| match (a < self.boxes, b < self.boxes) {
            (true, true) => 1.0,
            (false, false) => 8.0,
            _ => 2.0,
        };
        let settle = |rank: usize, by: &[&Vec<Vec<usize>>], ys: &mut [f64]| {
            let level = &self.levels[rank];
            let wishes: Vec<(f64, f64)> = level
                .iter()
                .map(|&node| {
                    let near = || by.iter().flat_map(|by| &by[node]);
                    let total: f64 = near().map(|&other| weight(node, other)).sum();
                    if total == 0.0 {
                        (ys[node], 0.05)
                    } else {
                        (near().map(|&other| weight(node, other) * ys[other]).sum::<f64>() / total, total)
                    }
                })
                .collect();
            let steps: Vec<f64> =
                level.windows(2).map(|pair| half(pair[0]) + gap(pair[0], pair[1]) + half(pair[1])).collect();
            for (&node, y) in level.iter().zip(spread(&wishes, &steps)) {
                ys[node] = y;
            }
        };
        let last = self.levels.len();
        for _ in 0..8 {
            (1..last).for_each(|rank| settle(rank, &[&self.left], &mut ys));
            (0..last.saturating_sub(1)).rev().for_each(|rank| settle(rank, &[&self.right], &mut ys));
        }
        for _ in 0..4 {
            (0..last).for_each(|rank| settle(rank, &[&self.left, &self.right], &mut ys));
            (0..last).rev().for_each(|rank| settle(rank, &[&self.left, &self.right], &mut ys));
        }
        ys
    }

    fn draw(&self, sizes: &[(f64, f64)], edges: &[(usize, usize)], ranks: &[usize], ys: &[f64]) -> Drawing {
        let top = self
            .levels
            .iter()
            .flatten()
            .map(|&node| ys[node] - if node < self.boxes { sizes[node].1 / 2.0 } else { 0.0 });
        let top = top.fold(f64::INFINITY, f64::min).min(f64::MAX);
        let (mut columns, mut x) = (Vec::new(), 0.0_f64);
        for level in &self.levels {
            let width = level.iter().filter(|&&node| node < self.boxes).map(|&node| sizes[node].0);
            let width = width.fold(0.0, f64::max);
            columns.push((x, x + width));
            let wires: usize = level.iter().map(|&node| self.right[node].len()).sum();
            x += width + 46.0 + (wires as f64 * 1.6).min(110.0);
        }
        let centre = |node: usize| {
            let (from, to) = columns[ranks[node]];
            ((from + to) / 2.0, ys[node] - top)
        };
        let centres: Vec<(f64, f64)> = (0..self.boxes).map(centre).collect();
        // Level to the end of its own rank, so that no line runs over a wider box above or below.
        let route = |(edge, &(from, to)): (usize, &(usize, usize))| {
            let (start, end) = (centres[from], centres[to]);
            let mut points =
                vec![(start.0 + sizes[from].0 / 2.0, start.1), (columns[ranks[from]].1, start.1)];
            for (at, &bend) in self.bends[edge].iter().enumerate() {
                let (left, right) = columns[ranks[from] + 1 + at];
                points.extend([(left, ys[bend] - top), (right, ys[bend] - top)]);
            }
            points.extend([(columns[ranks[to]].0, end.1), (end.0 - sizes[to].0 / 2.0, end.1)]);
            points
        };
        let routes: Vec<Vec<(f64, f64)>> = edges.iter().enumerate().map(route).collect();
        let boxes = centres.iter().zip(sizes).map(|(centre, size)| centre.1 + size.1 / 2.0);
        let bends = routes.iter().flatten().map(|point| point.1);
        Drawing {
            height: boxes.chain(bends).fold(0.0, f64::max),
            width: columns.last().map_or(0.0, |(_, right)| *right),
            centres,
            routes,
        }
    }
}

/// The places nearest to the wishes (place, weight) that keep the order and at least `steps` between neighbours: least
/// squares, by pooling adjacent violators.
fn spread(wishes: &[(f64, f64)], steps: &[f64]) -> Vec<f64> {
    struct Pool {
        sum: f64,
        weight: f64,
        count: usize,
    }
    let mut offset = 0.0;
    let mut offsets = Vec::with_capacity(wishes.len());
    let mut pools: Vec<Pool> = Vec::new();
    for (at, &(wish, weight)) in wishes.iter().enumerate() {
        if at > 0 {
            offset += steps[at - 1];
        }
        offsets.push(offset);
        let mut pool = Pool { sum: (wish - offset) * weight, weight, count: 1 };
        while let Some(last) = pools.pop_if(|last| last.sum / last.weight >= pool.sum / pool.weight) {
            pool = Pool {
                sum: pool.sum + last.sum,
                weight: pool.weight + last.weight,
                count: pool.count + last.count,
            };
        }
        pools.push(pool);
    }
    let bases = pools.iter().flat_map(|pool| std::iter::repeat_n(pool.sum / pool.weight, pool.count));
    bases.zip(offsets).map(|(base, offset)| base + offset).collect()
}
