// Release: who can leave and what holds the others back, what has left, and who holds it. Nothing is changed here.

import { attribute, el, keyed, show, text } from "/static/dom.js";
import { badge, command, count, day, minute, named, polling, watching } from "/static/records/parts.js";

const EVERY_MS = 60000;
// What a cell says: mark, words, tone. The marks tell them apart without their colours.
const CELLS = {
  released: ["●", "left in a release", "good"],
  ready: ["○", "can leave", "good"],
  redo: ["⬣", "its verdict is to do it again", "stop"],
  failed: ["✖", "a run has failed", "stop"],
  working: ["◔", "is being processed", "wait"],
  accepted: ["◻", "accepted, not processed yet", "wait"],
  undecided: ["▲", "nobody has accepted a take", "look"],
  withdrawn: ["⊘", "withdrawn", "stop"],
  skipped: ["–", "skipped", ""],
  missing: ["·", "no take", ""],
};

export function mount(root, app) {
  let found = null;
  const differs = watching();
  const tiles = el("div", { class: "night-tiles" });
  const filter = el("select", { "aria-label": "Which subjects", onchange: () => paintRows() }, [["", "All subjects"], ["held", "Held back, wholly or in part"], ["leaves", "Can leave"]].map(([value, name]) => el("option", { value }, name)));
  const search = el("input", { type: "search", placeholder: "S012, withdrawn, …", "aria-label": "Find subjects", oninput: () => paintRows() });
  const grids = el("div", { class: "coverage-grids" });
  const none = el("p", { class: "faint" });
  const key = el("ul", { class: "coverage-key", "aria-label": "What the marks mean" }, Object.values(CELLS).map(([mark, words, tone]) => el("li", {}, el("span", { class: "cell", data: { tone }, "aria-hidden": "true" }, mark), ` ${words}`)));
  const holds = el("section", { class: "panel", "aria-label": "What holds back" });
  const releases = el("section", { class: "panel", "aria-label": "Releases" });
  const people = el("section", { class: "panel", "aria-label": "Who takes part" });
  const next = el(
    "section", { class: "panel next", "aria-label": "To release" },
    el("h2", {}, "To release"),
    el("p", { class: "faint" }, "Coverage tells what the records tell, and the rules the rest. To release, a person reads the file that this proposes and puts a name under it:"),
    el("ol", {}, el("li", {}, command("mien release select NAME", app)), el("li", {}, command("mien release build NAME --selection selection.toml", app)), el("li", {}, "who holds what, and what they must delete: ", command("mien release holders", app), " ", command("mien release notices NAME", app))),
  );
  const manages = app.me.role === "manager";
  const rules = el("section", { class: "panel", "aria-label": "What the rules say" });
  root.classList.add("records");
  root.replaceChildren(
    tiles,
    el(
      "div", { class: "release-columns" },
      el("section", { class: "panel study-coverage", "aria-label": "Coverage" }, el("div", { class: "row" }, el("h2", {}, "Coverage"), el("span", { class: "gap" }), search, filter), key, none, grids),
      el("div", { class: "release-side" }, holds, rules, releases, people, next),
    ),
  );

  async function refresh() {
    refreshRules();
    const answer = await app.attempt(() => app.api.get("/api/release"));
    if (!answer || !differs("all", answer)) return;
    found = answer;
    paintTiles();
    paintRows();
    paintHolds();
    paintReleases();
    paintPeople();
  }

  const leaving = () => found.coverage.subjects.filter((one) => one.leaves);

  function paintTiles() {
    const { subjects } = found.coverage;
    const cells = subjects.flatMap((one) => one.cells);
    const tile = (name, value, note, tone) => el("div", { class: "fact-tile", data: { tone: tone ?? "" } }, el("span", { class: "fact-name" }, name), el("strong", {}, value), el("span", { class: "faint" }, note));
    const expressions = leaving().reduce((sum, one) => sum + one.leaves, 0);
    const whole = subjects.filter((one) => one.leaves === one.cells.length && one.cells.length).length;
    const newest = found.releases.find((one) => one.state === "complete");
    const owed = found.notices.reduce((sum, one) => sum + one.written - one.confirmed, 0);
    tiles.replaceChildren(
      tile("Subjects with a session", String(subjects.length), `${whole} with every expression`),
      tile("Can leave", String(leaving().length), count(expressions, "expression"), leaving().length ? "good" : ""),
      tile("Held back", String(subjects.filter((one) => one.holds.length).length), "wholly or in part", ""),
      tile("Expressions", `${cells.filter((cell) => cell === "ready" || cell === "released").length} of ${cells.length}`, "made and good"),
      tile("Newest release", newest ? `${newest.name} ${newest.version}` : "none", newest ? `${day(newest.finished_at)}, ${count(newest.subjects, "subject")}` : "nothing has left"),
      tile("Notices open", String(owed), owed ? "holders who have not confirmed" : "nobody has to delete anything", owed ? "look" : ""),
    );
  }

  function paintRows() {
    if (!found) return;
    const wanted = search.value.trim().toLowerCase();
    const fits = (one) =>
      (filter.value === "" || (filter.value === "held" ? one.holds.length > 0 : one.leaves > 0)) &&
      `${one.code} ${one.session} ${one.holds.join(" ")}`.toLowerCase().includes(wanted);
    const shown = found.coverage.subjects.filter(fits);
    text(none, found.coverage.subjects.length ? (shown.length ? "" : "None of them.") : "No subject has a session yet.");
    show(none, !shown.length);
    const tables = found.coverage.protocols.map((protocol) => ({ protocol, subjects: shown.filter((one) => one.protocol === protocol.protocol) })).filter((one) => one.subjects.length);
    keyed(grids, tables, (one) => one.protocol.protocol, (one) => makeGrid(one.protocol), (grid, one) => keyed(grid.querySelector("tbody"), one.subjects, (subject) => subject.code, () => makeRow(one.protocol), (row, subject) => paintRow(row, subject, one.protocol)));
  }

  function makeGrid(protocol) {
    return el(
      "div", { class: "coverage-grid", tabindex: 0, role: "region", "aria-label": protocol.protocol },
      el(
        "table", {},
        el("caption", { class: "faint" }, protocol.protocol),
        el("thead", {}, el("tr", {}, el("th", { scope: "col" }, "Subject"), protocol.labels.map((label) => el("th", { scope: "col", class: "slanted" }, el("span", {}, named(label)))), el("th", { scope: "col", class: "figure" }, "Leave"), el("th", { scope: "col" }, "Pictures"), el("th", { scope: "col" }, "What holds back"))),
        el("tbody", {}),
      ),
    );
  }

  function makeRow(protocol) {
    return el("tr", {}, el("th", { scope: "row" }), protocol.labels.map(() => el("td", { class: "cell" })), el("td", { class: "figure" }), el("td", {}), el("td", { class: "holds" }));
  }

  function paintRow(row, one, protocol) {
    const cells = [...row.children];
    text(cells[0], one.code);
    attribute(cells[0], "title", one.session);
    one.cells.forEach((name, i) => {
      const [mark, words, tone] = CELLS[name];
      const cell = cells[i + 1];
      text(cell, mark);
      attribute(cell, "data-tone", tone);
      attribute(cell, "title", `${one.code} ${named(protocol.labels[i])}: ${words}`);
      attribute(cell, "aria-label", words);
    });
    const [leaves, pictures, holding] = cells.slice(-3);
    text(leaves, `${one.leaves}/${one.cells.length}`);
    text(pictures, one.pictures);
    text(holding, one.holds.join(" · ") || "nothing");
    attribute(holding, "class", one.holds.length ? "holds" : "holds faint");
  }

  function paintHolds() {
    const rows = Object.entries(found.holds).sort((a, b) => b[1] - a[1]);
    holds.replaceChildren(
      el("h2", {}, "What holds back"),
      rows.length
        ? el("ul", { class: "bare-list" }, rows.map(([why, subjects]) => el("li", {}, el("button", { type: "button", class: "line", onclick: () => ((search.value = why), (filter.value = ""), paintRows()) }, el("strong", {}, String(subjects)), ` ${subjects === 1 ? "subject" : "subjects"}: ${why}`))))
        : el("p", { class: "faint" }, "Nothing."),
    );
  }

  async function refreshRules() {
    const answer = await app.attempt(() => app.api.get("/api/release/proposal"));
    if (answer) paintRules(answer.proposal);
  }

  async function askRules() {
    const newest = found?.releases[0]?.name ?? "";
    const name = await app.asked("The rules of a release look at every file in the store, beside the studio and at its lowest priority. Nothing is released. For which release?", "Ask the rules", newest);
    if (!name) return;
    const answer = await app.attempt(() => app.api.post("/api/release/proposal", { name }));
    if (answer) paintRules(answer.proposal);
  }

  const DECISIONS = { publish: ["leaves", "good"], hold_back: ["kept for evaluation", "wait"], leave_out: ["stays", "look"] };

  function paintRules(proposal) {
    clearTimeout(again);
    if (proposal?.state === "running" && visible) again = setTimeout(refreshRules, 2000);
    if (!differs("rules", proposal ?? null)) return;
    const words = !proposal
      ? "Whether every file is in the store, and what registrations say of themselves, the rules look at."
      : proposal.state === "running" ? `They are being asked for ${proposal.name} …` : proposal.state === "failed" ? `They could not be asked: ${proposal.told}` : `Asked for ${proposal.name} at ${minute(proposal.begun_at)}.`;
    rules.replaceChildren(
      el("div", { class: "row" }, el("h2", {}, "What the rules say"), el("span", { class: "gap" }), manages ? el("button", { type: "button", onclick: askRules, disabled: proposal?.state === "running" }, "Ask the rules") : ""),
      el("p", { class: proposal?.state === "failed" ? "stop" : "faint", role: "status" }, words),
      proposal?.subjects.length
        ? el("ul", { class: "bare-list" }, proposal.subjects.map((one) => el("li", {}, el("strong", {}, one.code), " ", badge(...(DECISIONS[one.decision] ?? [one.decision, ""])), ` ${count(one.takes, "take")}${one.why ? `: ${one.why}` : ""}`, ...Object.entries(one.left_out).map(([take, why]) => el("p", { class: "faint" }, `${take}: ${why}`)))))
        : proposal?.state === "done" ? el("p", { class: "faint" }, "Nobody.") : "",
    );
  }

  function paintReleases() {
    const tone = { complete: "good", building: "wait", failed: "stop" };
    releases.replaceChildren(
      el("h2", {}, "Releases"),
      found.releases.length
        ? el(
            "table", { class: "stages" },
            el("thead", {}, el("tr", {}, ["Version", "Day", "Subjects", "Takes", "Holders"].map((name, i) => el("th", { scope: "col", class: i > 1 ? "figure" : "" }, name)))),
            el("tbody", {}, found.releases.map((one) =>
              el(
                "tr", {},
                el("th", { scope: "row" }, `${one.name} ${one.version} `, one.state === "complete" ? "" : badge(one.state, tone[one.state]), one.problem ? el("p", { class: "stop" }, one.problem) : "", one.withdrawn ? el("p", { class: "look" }, `${count(one.withdrawn, "take")} withdrawn since`) : ""),
                el("td", {}, day(one.finished_at)), el("td", { class: "figure" }, String(one.subjects)), el("td", { class: "figure" }, String(one.takes)), el("td", { class: "figure" }, one.complete === one.holders ? String(one.holders) : `${one.complete} of ${one.holders}`),
              ),
            )),
          )
        : el("p", { class: "faint" }, "Nothing has left this studio."),
      found.notices.length ? el("ul", { class: "bare-list" }, found.notices.map((one) => el("li", {}, `${one.release}: ${count(one.written, "notice")} written, ${one.sent} sent, ${one.confirmed} confirmed`))) : "",
    );
  }

  function paintPeople() {
    people.replaceChildren(
      el("h2", {}, "Who takes part"),
      found.people.length
        ? el(
            "table", { class: "stages" },
            el("thead", {}, el("tr", {}, ["Gender", "Age", "All", "Consent", "Captured", "Left"].map((name, i) => el("th", { scope: "col", class: i > 1 ? "figure" : "" }, name)))),
            el("tbody", {}, found.people.map((one) => el("tr", {}, el("th", { scope: "row" }, one.gender ?? "not said"), el("td", {}, one.age_from === null ? "not said" : `${one.age_from} to ${one.age_from + 9}`), [one.subjects, one.consenting, one.captured, one.released].map((figure) => el("td", { class: "figure" }, String(figure)))))),
          )
        : el("p", { class: "faint" }, "No subject yet."),
    );
  }

  const slow = polling(refresh, EVERY_MS);
  let visible = false;
  let again = 0;
  return {
    update() {},
    shown() {
      visible = true;
      slow.start();
    },
    hidden() {
      visible = false;
      slow.stop();
      clearTimeout(again);
    },
  };
}
