//! Launches that are done together, in blocks of rows.

use super::{ExternalChain, Writer};
use crate::c::Kernels;
use crate::ir::Launch;

/// What runs them.
pub(super) const RUNTIME: &str = include_str!("chain.c");

impl<'p> Writer<'p> {
    /// Whether a launch is one of a chain, which is written where its last one is.
    pub(in crate::c) fn is_of_chain(&mut self, launch: &'p Launch) -> bool {
        let options = self.options;
        let position = self.launches;
        self.launches += 1;
        let Kernels::External(external) = &options.kernels else { return false };
        if self.chain.is_empty() && !external.chains.at.contains_key(&position) {
            return false;
        }
        self.chain.push(launch);
        if let [first, middle, second] = self.chain[..] {
            self.chain.clear();
            if let Some(chain) = external.chains.at.get(&(position - 2)) {
                self.external_chain(*chain, [first, middle, second]);
            }
        }
        true
    }

    /// Three launches as one.
    fn external_chain(&mut self, chain: ExternalChain, launches: [&Launch; 3]) {
        let mut text = "{".to_owned();
        let mut bounds = Vec::new();
        for (i, launch) in launches.iter().enumerate() {
            let buffers: Vec<String> = launch.buffers.iter().map(|b| format!("b{}", b.0)).collect();
            let (arrays, argument) = self.arrays(&i.to_string(), &buffers, launch);
            text += &format!("\n{arrays}");
            bounds.push(format!("{{bufs{i}, {argument}, &status}}"));
        }
        text += &format!("\nconst struct ac_bound bounds[] = {{{}}};", bounds.join(", "));
        let [first, middle, second] = launches;
        let [a, b] = [first, second].map(|launch| self.product_of(launch));
        let (Some(a), Some(b)) = (a, b) else {
            self.refused.push("a chain of what is no product".to_owned());
            return;
        };
        let (c, k, count) = (self.chains, middle.kernel.0, middle.buffers.len());
        self.chains += 1;
        self.ready += &format!(
            "ac_plan_chain(&x->e, &x->chains[{c}], &x->products[{a}], &x->products[{b}], {}, {}, \
             {count});\n",
            chain.read, chain.kept
        );
        let last = self.plan.slots.len();
        self.line(&text);
        self.line(&format!(
            "ac_run_chain(&x->e, &x->chains[{c}], nests[x->e.level][{k}], bounds, w + o[{last}]);\n\
             if (status != 0) {{\nreturn status;\n}}\n}}"
        ));
    }

    /// The number of the product that a launch is, which is made ready.
    fn product_of(&mut self, launch: &Launch) -> Option<usize> {
        let options = self.options;
        let Kernels::External(external) = &options.kernels else { return None };
        let k = launch.kernel.0;
        let product = external.kernels.get(k as usize)?.product.as_ref()?;
        let i = self.products;
        self.products += 1;
        self.planned(k, i, product, launch);
        Some(i)
    }
}
