/** The style sheet of the report's page. It loads nothing from elsewhere. */
export const STYLE = `
:root { color-scheme: light dark; --ink: #1c1c1c; --paper: #fff; --line: #d4d4d4; --soft: #5a5a5a; --link: #00598c; --read: 0, 114, 178; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e6e6; --paper: #161616; --line: #414141; --soft: #a8a8a8; --link: #7cc4ee; --read: 60, 150, 210; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 70rem; padding: 1rem 1.25rem 4rem; color: var(--ink); background: var(--paper); font: 1rem/1.5 Helvetica, Arial, sans-serif; }
h1 { font-size: 1.6rem; line-height: 1.25; overflow-wrap: anywhere; }
h2 { font-size: 1.2rem; margin: 2.5rem 0 0.5rem; padding-top: 1rem; border-top: 1px solid var(--line); }
p { max-width: 46rem; margin: 0.5rem 0; overflow-wrap: anywhere; }
a { color: var(--link); }
nav ul { padding: 0; margin: 0; list-style: none; display: flex; flex-wrap: wrap; gap: 0.25rem 1.25rem; }
.panels { display: flex; flex-wrap: wrap; gap: 1rem 2rem; align-items: flex-start; margin: 1rem 0; }
figure { margin: 0; max-width: 100%; }
figure.page { flex: 0 0 100%; }
figure.half { flex: 0 0 calc(50% - 1rem); }
figure.third { flex: 0 0 calc((100% - 4rem) / 3); }
svg { display: block; max-width: 100%; height: auto; }
.page svg, .half svg, .third svg { width: 100%; }
.narrow { display: none; }
@media (max-width: 60rem) {
  figure.page, figure.half, figure.third { flex: 0 1 36rem; }
  .wide { display: none; }
  .narrow { display: block; }
}
.tables { display: flex; flex-wrap: wrap; gap: 1rem 2rem; align-items: flex-start; margin: 1rem 0; }
.verdict { font-size: 1.25rem; line-height: 1.35; }
dl { margin: 0.5rem 0 1rem; color: var(--soft); font-size: 0.875rem; overflow-wrap: anywhere; }
dt { display: inline; }
dt::after { content: ": "; }
dd { display: inline; margin: 0; }
.table { max-width: 100%; overflow-x: auto; }
table { border-collapse: collapse; font-size: 0.875rem; font-variant-numeric: tabular-nums; }
caption { text-align: left; max-width: calc(100vw - 2.5rem); color: var(--soft); padding-bottom: 0.25rem; }
th, td { padding: 0.2rem 0.7rem 0.2rem 0; text-align: right; font-weight: normal; border-bottom: 1px solid var(--line); white-space: nowrap; }
thead th { color: var(--soft); vertical-align: bottom; }
th:first-child { text-align: left; }
tbody th { min-width: 9rem; max-width: 22rem; white-space: normal; overflow-wrap: anywhere; }
blockquote { margin: 0.75rem 0; max-width: 46rem; white-space: pre-wrap; overflow-wrap: anywhere; line-height: 1.7; }
blockquote span { background: rgba(var(--read), calc(var(--shade) * 0.6)); padding: 0.1em 0; }
pre { overflow-x: auto; white-space: pre-wrap; overflow-wrap: anywhere; margin: 0.25rem 0 0.75rem; }
@media print {
  :root { --ink: #000; --paper: #fff; --line: #bbb; --soft: #444; --read: 0, 114, 178; color-scheme: light; }
  body { max-width: none; padding: 0; font-size: 10pt; }
  nav { display: none; }
  .wide { display: block; }
  .narrow { display: none; }
  figure.page, figure.half { flex: 0 0 100%; }
  figure.third { flex: 0 0 calc((100% - 4rem) / 3); }
  .table { overflow: visible; }
  table { font-size: 7.5pt; }
  th, td { padding-right: 0.5em; }
  figure, tr { break-inside: avoid; }
  h2, caption { break-after: avoid; }
  blockquote span { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
}
`;
