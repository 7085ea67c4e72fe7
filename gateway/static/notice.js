"use strict";
// What every page must say first: whether the enclave is real and the model has learnt anything.
async function showNotice() {
  const notice = document.getElementById("notice");
  const say = (text) => { notice.textContent = text; notice.hidden = false; };
  try {
    const info = await (await fetch("info")).json();
    if (!info.model) say("The enclave is not verified: nothing is answered until its evidence is accepted.");
    else if (info.notices.length) say(info.notices.join(" "));
    return info;
  } catch {
    say("The gateway does not answer.");
    return null;
  }
}
window.info = showNotice();
