// Events about VMs and the suite, the newest first.

import { badge, h, render, since, table } from './dom.js'
import { listen, state } from './store.js'

const HEADINGS = ['Last seen', 'Type', 'Reason', 'Object', 'Message', 'Count']
const MOST = 200

export function eventTable(matches, caption) {
  const found = [...state.events.values()].filter(matches)
    .sort((a, b) => Date.parse(b.lastSeen) - Date.parse(a.lastSeen))
  if (!found.length) return h('p', {}, 'No events.')
  return table(caption, HEADINGS, found.slice(0, MOST).map((event) => [
    since(event.lastSeen), badge(event.type, event.type === 'Warning' ? 'bad' : 'plain'), event.reason,
    `${event.kind} ${event.namespace}/${event.name}`, event.note, String(event.count),
  ]))
}

export function events(main) {
  const update = () => render(main, h('h1', {}, 'Events'), eventTable(() => true, 'Events of VMs and of the suite'))
  update()
  return listen((kinds) => kinds.has('events') && update())
}
