// The list of VMs. A row changes in place, so that the focus stays.

import { buttons, kindOf, links } from './actions.js'
import { badge, h, line, render, since, table } from './dom.js'
import { listen, state } from './store.js'

const HEADINGS = ['Namespace', 'Name', 'State', 'Node', 'Address', 'Age', 'Actions']
const MOST = 500

export function vms(main) {
  const shown = new Map()
  const filter = h('input', { id: 'filter', type: 'search', placeholder: 'name, namespace, state or node',
    'aria-keyshortcuts': '/' })
  const count = h('p', { role: 'status' })
  const list = table('Virtual machines', HEADINGS, [])
  const body = list.querySelector('tbody')
  render(main, h('h1', {}, 'Virtual machines'),
    h('p', { class: 'tools' }, h('label', { for: 'filter' }, 'Filter'), ' ', filter, ' ', h('kbd', {}, '/')), count, list)

  function update() {
    const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean)
    const found = [...state.machines].sort(([a], [b]) => a < b ? -1 : 1).filter(([key, row]) =>
      words.every((word) => `${key} ${row.state} ${row.node}`.toLowerCase().includes(word)))
    count.textContent = told(found.length)
    const rows = found.slice(0, MOST).map(([key, row]) => rowOf(shown, key, row))
    for (const element of [...body.children]) if (!rows.includes(element)) element.remove()
    rows.forEach((element, place) => {
      if (body.children[place] !== element) body.insertBefore(element, body.children[place] ?? null)
    })
    for (const key of shown.keys()) if (!state.machines.has(key)) shown.delete(key)
  }

  filter.addEventListener('input', update)
  update()
  return listen((kinds) => (kinds.has('machines') || kinds.has('complete')) && update())
}

function told(found) {
  if (!state.complete) return 'Reading the cluster …'
  const rest = found > MOST ? `; the first ${MOST} are shown, filter for others` : ''
  return `${found} of ${state.machines.size} VMs${rest}`
}

function rowOf(shown, key, row) {
  const text = JSON.stringify(row)
  const before = shown.get(key)
  if (before?.text === text) return before.element
  const element = before?.element ?? h('tr', { role: 'row' })
  render(element, [...line(HEADINGS, cells(key, row)).children])
  shown.set(key, { text, element })
  return element
}

function cells(key, row) {
  return [
    row.namespace,
    h('a', { id: `vm:${key}`, href: `#/vms/${key}` }, row.name),
    [badge(row.state, kindOf(row.state)), row.outdated && [' ', badge('old launcher', 'plain')]],
    row.node, row.addresses[0] ?? '', since(row.created),
    h('div', { class: 'actions' }, links(row), buttons(row, ['start', 'stop', 'restart', 'pause', 'unpause', 'migrate'])),
  ]
}
