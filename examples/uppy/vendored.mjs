// The projects whose code Uppy's packages have copied, with their licenses. npm
// does not list them.

const mit = (...holders) => `MIT License

${holders.join("\n")}

Permission is hereby granted, free of charge, to any person obtaining a copy
of this software and associated documentation files (the "Software"), to deal
in the Software without restriction, including without limitation the rights
to use, copy, modify, merge, publish, distribute, sublicense, and/or sell
copies of the Software, and to permit persons to whom the Software is
furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all
copies or substantial portions of the Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR
IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY,
FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE
AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER
LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM,
OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE
SOFTWARE.`;

const bsd = (...holders) => `BSD 2-Clause License

${holders.join("\n")}
All rights reserved.

Redistribution and use in source and binary forms, with or without
modification, are permitted provided that the following conditions are met:

1. Redistributions of source code must retain the above copyright notice, this
   list of conditions and the following disclaimer.

2. Redistributions in binary form must reproduce the above copyright notice,
   this list of conditions and the following disclaimer in the documentation
   and/or other materials provided with the distribution.

THIS SOFTWARE IS PROVIDED BY THE COPYRIGHT HOLDERS AND CONTRIBUTORS "AS IS"
AND ANY EXPRESS OR IMPLIED WARRANTIES, INCLUDING, BUT NOT LIMITED TO, THE
IMPLIED WARRANTIES OF MERCHANTABILITY AND FITNESS FOR A PARTICULAR PURPOSE ARE
DISCLAIMED. IN NO EVENT SHALL THE COPYRIGHT HOLDER OR CONTRIBUTORS BE LIABLE
FOR ANY DIRECT, INDIRECT, INCIDENTAL, SPECIAL, EXEMPLARY, OR CONSEQUENTIAL
DAMAGES (INCLUDING, BUT NOT LIMITED TO, PROCUREMENT OF SUBSTITUTE GOODS OR
SERVICES; LOSS OF USE, DATA, OR PROFITS; OR BUSINESS INTERRUPTION) HOWEVER
CAUSED AND ON ANY THEORY OF LIABILITY, WHETHER IN CONTRACT, STRICT LIABILITY,
OR TORT (INCLUDING NEGLIGENCE OR OTHERWISE) ARISING IN ANY WAY OUT OF THE USE
OF THIS SOFTWARE, EVEN IF ADVISED OF THE POSSIBILITY OF SUCH DAMAGE.`;

/**
 * The projects from which code was copied, by their names in comments, with
 * their licenses.
 */
export const copiedProjects = {
  "github.com/airbnb/polyglot.js": bsd("Copyright (c) 2012, Airbnb"),
  "github.com/developit/preact-transition-group": mit("Copyright 2013-2014, Facebook, Inc.",
    "Jason Miller <jason@developit.ca>, React Authors (https://facebook.github.io/react)"),
  "github.com/developit/preact-virtual-list": mit("Copyright (c) 2016 Jason Miller"),
  "github.com/ghosh/micromodal": mit("Copyright (c) 2017 Indrashish Ghosh"),
  // https://github.com/ghosh/microtip
  "@package Microtip": mit("Copyright (c) 2017 Indrashish Ghosh"),
  "github.com/good-lly/s3mini": mit("Copyright (c) 2025 Peter Jensen (good-lly)"),
  "stackoverflow.com/a/": "Answers on Stack Overflow, by the authors that the links show\n\n" +
    "Creative Commons Attribution-ShareAlike (https://stackoverflow.com/help/licensing)",
};

/**
 * Projects and pages that comments name for another reason, such as a
 * discussion.
 */
export const mentionedProjects = [
  "github.com/transloadit/uppy", "github.com/microsoft/TypeScript",
  "github.com/philipwalton/flexbugs", "github.com/jshttp/mime-db",
  "github.com/pencil-js/text-direction", "stackoverflow.com/questions/6081483", "tc39.es/ecma262",
];
