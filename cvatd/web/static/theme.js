// The theme follows the system; the switch overrides it and is remembered on this browser.
(() => {
  const root = document.documentElement;
  const order = ["", "light", "dark"];
  const apply = (theme) => (theme ? (root.dataset.theme = theme) : delete root.dataset.theme);
  let theme = localStorage.getItem("theme") || "";
  apply(theme);
  addEventListener("DOMContentLoaded", () => {
    const button = document.getElementById("theme");
    const label = () => (button.textContent = `theme: ${theme || "system"}`);
    button.hidden = false;
    label();
    button.addEventListener("click", () => {
      theme = order[(order.indexOf(theme) + 1) % order.length];
      localStorage.setItem("theme", theme);
      apply(theme);
      label();
    });
  });
})();
