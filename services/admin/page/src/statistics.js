// Graphs of a guest's CPU, memory and network: readings of its virt-handler's metrics while the VM is shown.

import { get } from './api.js'
import { graph } from './graph.js'
import { h, render } from './dom.js'
import { rates } from './numbers.js'
import { state } from './store.js'

const EVERY = 5000 // milliseconds; virt-handler keeps an answer as long
const MOST = 60
const readings = new Map() // by VM, so that they are there when one comes back

export function measure(section, key) {
  const known = readings.get(key) ?? []
  readings.set(key, known)
  let timer
  let left = false

  async function read() {
    if (state.machines.get(key)?.runs) {
      try {
        const reading = await get(`/api/vms/${key}/statistics`)
        if (left) return
        if (!reading) throw new Error('the virt-handler of its node is not known yet')
        known.push({ time: Date.now(), ...reading })
        known.splice(0, known.length - MOST)
        show(section, known)
      } catch (error) {
        if (left) return
        render(section, h('h2', {}, 'Statistics'), h('p', {}, `There are none: ${error.message}`))
      }
    } else {
      render(section)
    }
    timer = setTimeout(read, EVERY)
  }

  read()
  return () => {
    left = true
    clearTimeout(timer)
  }
}

function show(section, known) {
  const last = known.at(-1)
  const graphs = [
    last.cpuSeconds !== null && graph('CPU', 'cores', [['used', rates(known, 'cpuSeconds')]]),
    last.memoryBytes !== null && graph(`Memory, ${last.memoryMeaning}`, 'B',
      [['used', known.map(({ time, memoryBytes }) => [time, memoryBytes])]]),
    last.receivedBytes !== null && graph('Network', 'B/s',
      [['received', rates(known, 'receivedBytes')], ['sent', rates(known, 'sentBytes')]]),
  ].filter(Boolean)
  render(section, h('h2', {}, 'Statistics'), graphs.length ? h('div', { class: 'graphs' }, graphs)
    : h('p', {}, 'virt-handler of this release shows none of this guest.'))
}
