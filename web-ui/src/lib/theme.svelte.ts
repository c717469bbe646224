/** Dark or light, as the system prefers, for the colour scales computed in code. */
import type { Theme } from './scale';

class Preference {
  theme = $state<Theme>('dark');

  constructor() {
    const light = matchMedia('(prefers-color-scheme: light)');
    this.theme = light.matches ? 'light' : 'dark';
    light.addEventListener('change', () => {
      this.theme = light.matches ? 'light' : 'dark';
    });
  }
}

export const preference = new Preference();
