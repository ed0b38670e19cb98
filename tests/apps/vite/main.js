import { greeting } from "./greeting.js";

const show = (text) => (document.getElementById("greeting").textContent = text);
show(greeting);

// The module alone is replaced when it is edited, and the page stays.
import.meta.hot?.accept("./greeting.js", (module) => show(module.greeting));
