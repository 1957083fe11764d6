// What the server has told of the cluster, and who wants to know of changes.

import { get, socket } from './api.js'

export const state = { machines: new Map(), events: new Map(), suite: undefined, complete: false, troubles: [], lost: '' }

const listeners = new Set()
let delay = 500

// `listener` is called with the kinds that have changed. Returns what ends that.
export function listen(listener) {
  listeners.add(listener)
  return () => listeners.delete(listener)
}

export function follow() {
  const feed = socket('/api/feed')
  let fresh = true
  feed.onmessage = (message) => {
    if (fresh) {
      state.machines.clear()
      state.events.clear()
      fresh = false
      delay = 500
    }
    accept(JSON.parse(message.data))
  }
  feed.onclose = (event) => {
    if (fresh) get('/api/feed').catch(() => {}) // goes to the form for the code if this session has ended
    state.lost = event.reason || 'virtadm does not answer; what is shown is what was seen last'
    tell(['connection'])
    setTimeout(follow, delay)
    delay = Math.min(delay * 2, 10000)
  }
}

export function accept(message) {
  const regained = state.lost !== ''
  state.lost = ''
  for (const kind of ['machines', 'events']) {
    for (const [name, value] of Object.entries(message[kind] ?? {})) {
      if (value === null) state[kind].delete(name)
      else state[kind].set(name, value)
    }
  }
  for (const kind of ['suite', 'complete', 'troubles']) if (kind in message) state[kind] = message[kind]
  tell([...Object.keys(message), ...(regained ? ['connection', 'machines', 'events'] : [])])
}

function tell(kinds) {
  for (const listener of [...listeners]) listener(new Set(kinds))
}
