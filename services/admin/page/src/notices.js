// Messages, errors and questions.

import { h, render } from './dom.js'

const alerts = () => document.getElementById('alerts')

export function say(text) {
  document.getElementById('message').textContent = text
}

export function fail(error) {
  const shown = h('p', { class: 'error' }, h('span', {}, error.message ?? String(error)), ' ',
    h('button', { type: 'button', onclick: () => shown.remove() }, 'Dismiss'))
  alerts().append(shown)
  while (alerts().childElementCount > 4) alerts().firstElementChild.remove()
}

// Does it, and shows how it has failed.
export async function attempt(work) {
  try {
    return await work()
  } catch (error) {
    fail(error)
    return undefined
  }
}

// Whether the user wants that.
export function confirm(question, answer) {
  const dialog = document.getElementById('confirm')
  render(dialog.querySelector('#question'), document.createTextNode(question))
  dialog.querySelector('[value=yes]').textContent = answer
  dialog.returnValue = 'no'
  dialog.showModal()
  return new Promise((resolve) => {
    dialog.addEventListener('close', () => resolve(dialog.returnValue === 'yes'), { once: true })
  })
}
