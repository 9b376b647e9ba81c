// Keeps the page of a run fresh: server-sent events say that something happened, the server draws it anew.
(() => {
  const live = document.getElementById("live");
  const lost = document.getElementById("lost");
  const run = live.dataset.run;
  let pending = false;
  let again = false;

  // Replace the sections that changed; open details stay open, the log stays at its end.
  async function refresh() {
    if (pending) return void (again = true);
    pending = true;
    try {
      const answer = await fetch(`/training/${run}?part=live`, { headers: { accept: "text/html" } });
      if (!answer.ok) return;
      const fresh = document.createElement("div");
      fresh.innerHTML = await answer.text();
      for (const details of fresh.querySelectorAll("details[id]")) {
        const old = document.getElementById(details.id);
        if (old) details.open = old.open;
      }
      live.replaceChildren(...fresh.childNodes);
      followLog();
    } finally {
      pending = false;
      if (again) {
        again = false;
        refresh();
      }
    }
  }

  function followLog() {
    const log = live.querySelector("pre.log");
    if (log) log.scrollTop = log.scrollHeight;
  }

  // Batches come several times a second: they move the bar alone.
  function moveBar({ state, epoch, epochs, progress }) {
    const bar = document.getElementById("progress-bar");
    const words = document.getElementById("progress-words");
    if (!bar || state !== live.dataset.state) {
      live.dataset.state = state;
      return void refresh();
    }
    if (state === "training") {
      const share = progress.epoch === epoch + 1 && progress.batches ? progress.batch / progress.batches : 0;
      bar.max = 1;
      bar.value = (epoch + share) / epochs;
      words.textContent = `Epoch ${Math.min(epoch + 1, epochs)} of ${epochs}`;
    } else if (progress.total) {
      bar.max = progress.total;
      bar.value = progress.done;
    }
  }

  function follow() {
    const source = new EventSource(`/runs/${run}/events`);
    const seen = Number(live.dataset.seq);
    source.onopen = () => (lost.hidden = true);
    source.onerror = () => (lost.hidden = false);
    for (const kind of ["accepted", "dataset", "started", "epoch", "finishing", "interrupted", "cancelling", "resumed"]) {
      source.addEventListener(kind, (event) => Number(event.lastEventId) > seen && refresh());
    }
    source.addEventListener("progress", (event) => moveBar(JSON.parse(event.data)));
    source.addEventListener("end", () => {
      source.close();
      lost.hidden = true;
      refresh();
    });
  }

  const dialog = document.getElementById("picture");
  const shots = () => [...live.querySelectorAll("a.shot")];
  let shown = 0;
  function show(index) {
    const all = shots();
    shown = (index + all.length) % all.length;
    const image = all[shown].querySelector("img");
    dialog.querySelector("img").src = all[shown].href;
    dialog.querySelector("img").alt = image.alt;
    document.getElementById("caption").textContent = `${image.alt} (${shown + 1} of ${all.length})`;
    if (!dialog.open) dialog.showModal();
  }
  live.addEventListener("click", (event) => {
    const shot = event.target.closest("a.shot");
    if (!shot || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    show(shots().indexOf(shot));
  });
  document.getElementById("previous").addEventListener("click", () => show(shown - 1));
  document.getElementById("next").addEventListener("click", () => show(shown + 1));
  dialog.addEventListener("keydown", (event) => {
    if (event.key === "ArrowLeft") show(shown - 1);
    if (event.key === "ArrowRight") show(shown + 1);
    // Labels and predictions of the same images lie beside each other.
    const pair = shots()[shown]?.closest(".pair");
    if (event.key === "b" && pair) show(shown + (pair.firstElementChild === shots()[shown] ? 1 : -1));
  });

  addEventListener("submit", (event) => {
    const question = event.target.dataset.ask;
    if (question && !confirm(question)) event.preventDefault();
  });

  followLog();
  if (live.dataset.ended === "0") follow();
})();
