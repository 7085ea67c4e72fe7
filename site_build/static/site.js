// Tables and code that are wider than the page scroll. A keyboard can scroll only what it can reach.
"use strict";

function reachable() {
  for (const part of document.querySelectorAll(".table-wrapper, .highlight pre")) {
    if (part.scrollWidth > part.clientWidth) part.tabIndex = 0;
    else part.removeAttribute("tabindex");
  }
}

document.addEventListener("DOMContentLoaded", reachable);
window.addEventListener("load", reachable);
window.addEventListener("resize", reachable);
