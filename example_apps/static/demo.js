// The front page: what each app says of you, and six requests at once.
"use strict";

const apps = ["flask", "django", "starlette"];

async function whoami(app) {
  const answer = await fetch(`/${app}/whoami`, { cache: "no-store" });
  if (!answer.ok) throw new Error(`${app} answers ${answer.status}`);
  return answer.json();
}

const teas = (me) => me.cart.tea?.quantity ?? 0;

async function show() {
  await Promise.all(apps.map(async (app) => {
    const place = document.querySelector(`[data-app=${app}]`);
    try {
      const me = await whoami(app);
      const lines = Object.values(me.cart).reduce((sum, line) => sum + line.quantity, 0);
      place.textContent = `${me.user ? `You are ${me.user}` : "Nobody"} · ${lines} in the cart`;
    } catch (error) {
      place.textContent = error.message;
    }
  }));
}

async function race(event) {
  const button = event.target;
  const result = document.getElementById("result");
  button.disabled = true;
  try {
    // A session is there first, so that all six change one and the same.
    await fetch("/flask/visit", { method: "POST" });
    const before = teas(await whoami("flask"));
    const answers = await Promise.all([...apps, ...apps].map((app) =>
      fetch(`/${app}/cart`, { method: "POST", body: new URLSearchParams({ item: "tea" }) })));
    const accepted = answers.filter((answer) => answer.ok).length;
    const arrived = teas(await whoami("django")) - before;
    result.textContent = `${accepted} accepted, ${arrived} arrived in the cart.`;
  } catch (error) {
    result.textContent = error.message;
  } finally {
    button.disabled = false;
  }
  await show();
}

for (const place of document.querySelectorAll(".origin")) place.textContent = location.origin;
document.getElementById("race").addEventListener("click", race);
// Also when this page is come back to from one of the apps.
window.addEventListener("pageshow", show);
window.addEventListener("focus", show);
