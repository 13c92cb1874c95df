#pragma once
// Nothing is called: the library is preloaded into the program under test (`LD_PRELOAD`).
