"use strict";

const plots = [...document.querySelectorAll("[data-figure]")];
for (const plot of plots) {
  const spec = JSON.parse(document.getElementById(plot.dataset.figure).textContent);
  Plotly.newPlot(plot, spec.data, spec.layout, { responsive: true, displayModeBar: false });
}

// Paper is narrower than the window and cannot unfold anything.
let folded = [];
addEventListener("beforeprint", () => {
  folded = [...document.querySelectorAll("details:not([open])")];
  for (const details of folded) details.open = true;
  for (const plot of plots) Plotly.relayout(plot, { width: plot.closest(".curves") ? 225 : 660 });
});
addEventListener("afterprint", () => {
  for (const details of folded) details.open = false;
  for (const plot of plots) Plotly.relayout(plot, { width: null, autosize: true });
});
