// One VM: what it is, why it does not start, its events; serial console and display on pages of their own.

import { buttons, kindOf, links } from './actions.js'
import { get } from './api.js'
import { badge, h, render, since } from './dom.js'
import { eventTable } from './events.js'
import { measure } from './statistics.js'
import { attempt } from './notices.js'
import { listen, state } from './store.js'

export function vm(main, namespace, name) {
  const key = `${namespace}/${name}`
  const facts = h('section', { 'aria-label': 'State' })
  const findings = h('section', { 'aria-label': 'Findings' })
  const statistics = h('section', { 'aria-label': 'Statistics' })
  const events = h('section', { 'aria-label': 'Events' })
  render(main, h('h1', {}, key), facts, statistics, findings, events)

  function update(kinds) {
    if (kinds.has('machines') || kinds.has('complete')) render(facts, factsOf(state.machines.get(key)))
    if (kinds.has('events')) {
      render(events, h('h2', {}, 'Events'),
        eventTable((event) => event.namespace === namespace && event.name === name, `Events of ${key}`))
    }
  }

  async function examine() {
    render(findings, h('h2', {}, 'Doctor'), h('p', {}, 'Examining …'))
    const found = await attempt(() => get(`/api/vms/${key}/findings`))
    render(findings, h('h2', {}, 'Doctor'), found?.map(findingOf) ?? [], found?.length === 0
      && h('p', {}, 'Nothing is wrong, and nothing is waited for.'),
    h('button', { type: 'button', id: 'examine', onclick: examine }, 'Examine again'))
  }

  update(new Set(['machines', 'events']))
  examine()
  const leave = [listen(update), measure(statistics, key)]
  return () => leave.forEach((end) => end())
}

function factsOf(row) {
  if (!row) return h('p', {}, state.complete ? 'There is no such VM (any more).' : 'Reading the cluster …')
  const facts = [
    ['Kind', row.kind], ['State', badge(row.state, kindOf(row.state))], ['Ready', row.ready ? 'yes' : 'no'],
    ['Run strategy', row.runStrategy], ['Node', row.node], ['Addresses', row.addresses.join(', ')],
    ['Launcher', row.outdated ? 'of an older image than new ones get' : ''], ['Message', row.message],
    ['Age', since(row.created)],
  ]
  return [
    h('div', { class: 'actions' }, links(row), buttons(row)),
    h('dl', {}, facts.filter(([, value]) => value).map(([term, value]) => [h('dt', {}, term), h('dd', {}, value)])),
  ]
}

function findingOf(finding) {
  const kind = { problem: 'bad', wait: 'busy', note: 'plain' }[finding.kind] ?? 'plain'
  return h('div', { class: 'finding' }, h('p', {}, badge(finding.kind, kind), ' ', finding.what),
    h('p', { class: 'detail' }, finding.object, finding.since && [', since ', finding.since]),
    finding.advice && h('p', { class: 'detail' }, `→ ${finding.advice}`))
}
