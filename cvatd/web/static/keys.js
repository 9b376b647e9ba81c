// j/k walk a list, Enter opens, / searches, ? shows the keys.
(() => {
  let at = -1;
  const rows = () => [...document.querySelectorAll("table.list tbody tr:has(a)")];
  const move = (step) => {
    const all = rows();
    if (!all.length) return;
    all[at]?.classList.remove("at");
    at = Math.min(Math.max(at + step, 0), all.length - 1);
    all[at].classList.add("at");
    all[at].scrollIntoView({ block: "nearest" });
  };
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, textarea, select, dialog[open]")) return;
    const act = {
      j: () => move(1),
      k: () => move(-1),
      Enter: () => event.target.closest("a, button, summary") || rows()[at]?.querySelector("a").click(),
      "/": () => document.getElementById("search")?.focus(),
      "?": () => document.getElementById("keys").showModal(),
    }[event.key];
    if (!act) return;
    if (event.key !== "Enter") event.preventDefault();
    act();
  });
})();
