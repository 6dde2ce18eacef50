// Shows the document. A file, as the policy of our pages allows no script within a page.
SwaggerUIBundle({
  dom_id: "#api",
  url: "/api/schema/?format=json",
  deepLinking: true,
  // Nothing is sent from here: a signature covers what a form does not know.
  supportedSubmitMethods: [],
  validatorUrl: null,
});
