// The plan of an upgrade, and the upgrade. It is offered only after a plan in which nothing stands in the way.

import { lines, post } from './api.js'
import { badge, h, render, table } from './dom.js'
import { attempt, confirm, say } from './notices.js'

const KINDS = { blocking: 'bad', warning: 'busy', info: 'plain' }

export function planForm() {
  const tag = h('input', { id: 'tag', required: true, autocomplete: 'off', spellcheck: 'false' })
  const registry = h('input', { id: 'registry', autocomplete: 'off', spellcheck: 'false' })
  const offline = h('input', { id: 'offline', type: 'checkbox' })
  const submit = h('button', { id: 'plan' }, 'Make the plan')
  const result = h('div', { id: 'result', 'aria-live': 'polite' })
  const form = h('form', { class: 'fields', onsubmit: make },
    h('label', { for: 'tag' }, 'Tag of the target'), tag,
    h('label', { for: 'registry' }, 'Registry, if another'), registry,
    h('label', { for: 'offline' }, 'Run no images'), offline, submit)

  async function make(event) {
    event.preventDefault()
    const target = { tag: tag.value.trim(), registry: registry.value.trim() }
    submit.disabled = true
    render(result, h('p', {}, 'Asking virt-operator …'))
    await attempt(async () => {
      for await (const line of lines('/api/plan', { ...target, offline: offline.checked })) {
        if (line.error) render(result, h('p', { class: 'error' }, line.error))
        if (line.progress) render(result, h('p', {}, `${line.progress} …`))
        if (line.plan) render(result, planOf(line.plan, target))
      }
    })
    submit.disabled = false
  }

  return h('section', { 'aria-label': 'Upgrade' }, h('h2', {}, 'Upgrade'), form, result)
}

function planOf(plan, target) {
  const what = plan.operation === 'None' ? `${target.tag} is installed`
    : `${plan.operation} ${plan.fromRelease} → ${plan.toRelease || target.tag}: about ${Math.round(plan.seconds)} s`
  const rows = plan.findings.map((found) => [badge(found.severity, KINDS[found.severity]),
    [found.kind, [found.namespace, found.name].filter(Boolean).join('/')].join(' '), found.reason,
    found.message + (found.irreversible ? ` Cannot go back: ${found.irreversible}` : '')])
  return [
    h('p', { id: 'summary' }, `${what}; ${plan.blocking} in the way, ${plan.warnings} warnings`
      + (plan.probed ? '' : '; the target’s images were not run')),
    plan.blocking ? h('p', { class: 'error' }, 'Mend what stands in the way, then make the plan again. '
      + '`virtadm upgrade --skip-plan` begins nevertheless.')
      : plan.operation !== 'None' && h('button', { type: 'button', id: 'upgrade', onclick: () => upgrade(target) },
        `Upgrade to ${target.tag}`),
    rows.length && table('The plan', ['Severity', 'Object', 'Reason', 'Message'], rows),
  ]
}

async function upgrade(target) {
  if (!await confirm(`Change the suite to ${target.tag}?`, 'Upgrade')) return
  const done = await attempt(() => post('/api/suite/upgrade', target))
  if (done) say(done.message)
}
