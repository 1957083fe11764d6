// The buttons of a VM.

import { post } from './api.js'
import { h } from './dom.js'
import { attempt, confirm, say } from './notices.js'

const TITLES = {
  start: 'Start', stop: 'Stop', restart: 'Restart', pause: 'Pause', unpause: 'Unpause', migrate: 'Migrate',
  'force-stop': 'Force stop',
}
const ASKED = {
  stop: 'Its guest is shut down.', restart: 'Its guest is shut down and started again.',
  'force-stop': 'Its guest ends at once, as if its power was cut. What it has not written is lost.',
}

export function buttons(row, names = row.actions) {
  const key = `${row.namespace}/${row.name}`
  return row.actions.filter((name) => names.includes(name)).map((name) => h('button', {
    type: 'button', id: `${name}:${key}`, class: name === 'force-stop' ? 'danger' : undefined,
    'aria-label': `${TITLES[name]} ${key}`, onclick: () => act(name, key),
  }, TITLES[name]))
}

async function act(name, key) {
  if (ASKED[name] && !await confirm(`${TITLES[name]} ${key}? ${ASKED[name]}`, TITLES[name])) return
  const done = await attempt(() => post(`/api/vms/${key}/${name}`))
  if (done) say(done.message)
}

export function links(row) {
  const path = `#/vms/${row.namespace}/${row.name}`
  const key = `${row.namespace}/${row.name}`
  return [
    row.runs && h('a', { class: 'button', href: `${path}/console`, 'aria-label': `Console ${key}` }, 'Console'),
    row.display && h('a', { class: 'button', href: `${path}/display`, 'aria-label': `Display ${key}` }, 'Display'),
  ]
}

const GOOD = ['Running', 'Migrating']
const BAD = ['CrashLoopBackOff', 'ErrorUnschedulable', 'ErrImagePull', 'ImagePullBackOff', 'ErrorPvcNotFound', 'Failed',
  'DataVolumeError', 'Unknown']

export const kindOf = (state) => GOOD.includes(state) ? 'good' : BAD.includes(state) ? 'bad' : 'plain'
