// The views, by the part of the address after #; what is shown around them; keys.

import { events } from './events.js'
import { h, refreshAges, render } from './dom.js'
import { attempt } from './notices.js'
import { follow, listen, state } from './store.js'
import { suite } from './suite.js'
import { applyTheme } from './theme.js'
import { vm } from './vm.js'
import { vms } from './vms.js'

const main = document.getElementById('main')
let leave = () => {}
let shown = 0

async function route() {
  const turn = ++shown
  leave()
  leave = () => {}
  const [view = 'vms', namespace, name, part] = location.hash.replace(/^#\/?/, '').split('/').filter(Boolean)
  for (const link of document.querySelectorAll('nav a')) {
    if (link.getAttribute('href') === `#/${view}`) link.setAttribute('aria-current', 'page')
    else link.removeAttribute('aria-current')
  }
  const open = await attempt(() => viewOf(view, name, part))
  if (turn !== shown || !open) return
  leave = open(main, namespace, name) ?? (() => {})
  document.title = `${main.querySelector('h1')?.textContent ?? 'VMs'} – virtadm`
  // Whoever uses a screen reader or the keyboard goes on in the new view; a console takes the focus itself.
  if (document.activeElement === document.body || document.activeElement.closest('nav')) main.focus()
}

async function viewOf(view, name, part) {
  if (view === 'vms' && name && part === 'console') return (await import('./console.js')).serialConsole
  if (view === 'vms' && name && part === 'display') return (await import('./display.js')).display
  if (view === 'vms' && name) return vm
  return { vms, events, suite }[view] ?? ((root) => render(root, h('h1', {}, 'There is no such view.')))
}

function around() {
  const troubles = [state.lost, ...state.troubles].filter(Boolean)
  const connection = document.getElementById('connection')
  render(connection, troubles.slice(0, 3).map((text) => h('span', { class: 'error' }, text)),
    troubles.length > 3 && h('span', { class: 'error' }, `and ${troubles.length - 3} more`))
}

addEventListener('hashchange', route)
addEventListener('keydown', (event) => {
  if (event.key !== '/' || event.target.closest('input, textarea, .screen') || event.ctrlKey || event.metaKey) return
  const filter = document.getElementById('filter')
  if (!filter) return
  event.preventDefault()
  filter.focus()
})
applyTheme(document.getElementById('theme'))
listen((kinds) => (kinds.has('troubles') || kinds.has('connection')) && around())
setInterval(refreshAges, 10000)
follow()
route()
