// The suite: what it does, the upgrade as it runs, and what can be requested.

import { post } from './api.js'
import { badge, h, render, since, table } from './dom.js'
import { attempt, confirm, say } from './notices.js'
import { planForm } from './plan.js'
import { listen, state } from './store.js'

const REQUESTS = {
  pause: ['Pause', 'After the present wave or component nothing further begins.'],
  resume: ['Resume', 'The pause ends.'],
  rollback: ['Roll back', 'The suite goes back to what was installed before.'],
  finalize: ['Finalize', 'The way back ends now.'],
}

export function suite(main) {
  const shown = h('section', { 'aria-label': 'State' })
  render(main, h('h1', {}, 'Suite'), shown, h('section', { 'aria-label': 'Requests' }, h('h2', {}, 'Requests'),
    h('div', { class: 'actions' }, Object.keys(REQUESTS).map((name) =>
      h('button', { type: 'button', id: `request:${name}`, onclick: () => request(name) }, REQUESTS[name][0])))),
  planForm())
  const update = () => render(shown, stateOf(state.suite))
  update()
  return listen((kinds) => kinds.has('suite') && update())
}

async function request(name) {
  const [title, effect] = REQUESTS[name]
  if (!await confirm(`${title}? ${effect}`, title)) return
  const done = await attempt(() => post(`/api/suite/${name}`))
  if (done) say(done.message)
}

function stateOf(suite) {
  if (suite === undefined) return h('p', {}, 'Reading the cluster …')
  if (suite === null) return h('p', { class: 'error' }, 'Nothing is installed: there is no KubeVirt object.')
  const { change, upgrade } = suite
  return [
    suite.warnings.map((warning) => h('p', { class: 'error' }, warning)),
    h('p', { id: 'release' }, `KubeVirt ${suite.namespace}/${suite.name}: ${suite.phase || 'no phase yet'}, `
      + (suite.version || 'nothing installed')
      + (suite.targetVersion && suite.targetVersion !== suite.version ? `, target ${suite.targetVersion}` : '')),
    change.state && h('p', { id: 'change' }, 'Change: ', badge(change.state, change.state === 'stopped' ? 'bad' : 'busy'),
      change.next && ` Next: ${change.next}`),
    steps(change, upgrade), waits(upgrade), components(suite), nodes(suite), conditions(suite),
  ]
}

function steps(change, upgrade) {
  if (!change.steps.length) return []
  return [
    h('h2', {}, `${upgrade.operation} ${upgrade.fromVersion ? `from ${upgrade.fromVersion} ` : ''}to ${upgrade.toVersion}`),
    h('ol', { class: 'steps', 'aria-label': 'Steps' }, change.steps.map((step) => h('li', {
      class: step.state.replace(' ', '-'), 'aria-current': step.state === 'now' ? 'step' : undefined,
    }, `${step.name}: ${step.state}`))),
  ]
}

function waits(upgrade) {
  const wave = upgrade?.wave
  const stopped = upgrade?.stopped
  return [
    wave && h('p', {}, `Wave ${wave.number} on ${wave.nodes.join(', ')}${wave.proven ? ', proven' : ''}`),
    stopped && h('p', { class: 'error' }, `The ${stopped.operation} to ${stopped.version} has stopped at `
      + `${stopped.component}: ${stopped.object} failed the probe ${stopped.probe}: ${stopped.message}`),
    upgrade?.waitingFor?.length && table('Waiting for', ['Object', 'Reason', 'Since'],
      upgrade.waitingFor.map((wait) => [wait.object, wait.reason, since(wait.since)])),
  ]
}

function components(suite) {
  const rows = suite.components.map((part) => [part.name,
    badge(`${part.ready} of ${part.wanted} ready`, part.ready < part.wanted ? 'bad' : 'good'),
    String(part.current), part.troubles.join('; ')])
  return table('Components', ['Component', 'Pods', 'Of the newest template', 'Trouble'], rows)
}

function nodes(suite) {
  const rows = suite.nodes.map((node) => [node.name, badge(node.ready ? 'ready' : 'not ready', node.ready ? 'good' : 'bad'),
    `${node.handler} ${node.handlerTag} ${node.handlerReady ? 'ready' : 'not ready'}`.trim(), String(node.guests),
    String(node.outdated)])
  return table('Nodes', ['Node', 'State', 'virt-handler', 'Guests', 'On old launchers'], rows)
}

function conditions(suite) {
  return table('Conditions', ['Condition', 'Status', 'Reason', 'Message', 'Since'], suite.conditions.map((found) =>
    [found.type, found.status, found.reason ?? '', found.message ?? '', since(found.lastTransitionTime)]))
}
