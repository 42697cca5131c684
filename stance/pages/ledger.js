"use strict";
(() => {
  const ns = "http://www.w3.org/2000/svg";
  const replies = [...document.querySelectorAll("a.tag.reply")];
  const outcomes = ["denial", "demand_for_evidence", "counter_accusation", "acknowledgment", "none"];
  const partners = id => {
    const tag = document.getElementById(id), found = new Set([id]);
    if (tag && tag.dataset.to) found.add(tag.dataset.to);
    replies.forEach(r => { if (r.dataset.to === id) found.add(r.id); });
    return found;
  };
  const draw = () => document.querySelectorAll(".paper").forEach(paper => {
    const svg = paper.querySelector(".lines"), base = paper.getBoundingClientRect(), text = paper.querySelector(".text").getBoundingClientRect();
    svg.replaceChildren();
    const edge = text.left - base.left - 4, room = Math.max(12, edge - 6);
    [...paper.querySelectorAll("a.tag.reply")].forEach((reply, n, all) => {
      const charge = document.getElementById(reply.dataset.to);
      if (!charge) return;
      let y1 = reply.getBoundingClientRect().top - base.top + 9, y2 = charge.getBoundingClientRect().top - base.top + 9;
      if (Math.abs(y1 - y2) < 12) { y1 += 8; y2 -= 8; }
      const x = edge - room * (0.25 + 0.75 * ((n + 1) / all.length)), path = document.createElementNS(ns, "path");
      path.setAttribute("d", `M${edge} ${y1}C${x} ${y1} ${x} ${y1} ${x} ${(y1 + y2) / 2}S${x} ${y2} ${edge} ${y2}m-7 -4l7 4l-7 4`);
      path.setAttribute("class", outcomes.find(o => reply.classList.contains(o)) || "none");
      path.dataset.from = reply.id;
      svg.append(path);
    });
  });
  const light = ids => {
    document.querySelectorAll(".on").forEach(e => e.classList.remove("on"));
    ids.forEach(id => {
      const tag = document.getElementById(id);
      if (tag) tag.classList.add("on");
      document.querySelectorAll(`.mark[data-in~="${id}"]`).forEach(e => e.classList.add("on"));
      document.querySelectorAll(`.lines path[data-from="${id}"]`).forEach(e => e.classList.add("on"));
    });
  };
  const idsOf = target => {
    const tag = target.closest && target.closest(".tag");
    if (tag) return partners(tag.id);
    const mark = target.closest && target.closest(".mark[data-in]");
    return mark ? new Set(mark.dataset.in.split(" ").flatMap(id => [...partners(id)])) : new Set();
  };
  document.addEventListener("focusin", e => light(idsOf(e.target)));
  document.addEventListener("mouseover", e => { const ids = idsOf(e.target); if (ids.size) light(ids); });
  document.addEventListener("click", e => {
    const link = e.target.closest && e.target.closest("a[href^='#']");
    const goal = link && document.getElementById(link.getAttribute("href").slice(1));
    if (goal && goal.matches("a")) { e.preventDefault(); goal.focus(); goal.scrollIntoView({ block: "center" }); }
  });
  const step = (list, by) => {
    if (!list.length) return;
    const at = list.indexOf(document.activeElement);
    const next = list[(at + by + list.length + (at < 0 && by < 0 ? 1 : 0)) % list.length];
    next.focus(); next.scrollIntoView({ block: "center" });
  };
  document.addEventListener("keydown", e => {
    if (e.ctrlKey || e.metaKey || e.altKey) return;
    if (e.key === "j") step(replies, 1);
    else if (e.key === "k") step(replies, -1);
    else if (e.key === "u") step([...document.querySelectorAll("a.tag.unanswered")], 1);
    else if (e.key === "l") document.body.classList.toggle("quiet");
  });
  new ResizeObserver(draw).observe(document.body);
  draw();
})();
